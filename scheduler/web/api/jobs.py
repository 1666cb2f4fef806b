"""Jobs: listed, submitted, controlled."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from db.queries.jobs import lifecycle
from db.queries.pages import jobs as job_pages
from db.queries.pages.jobs import JobFilter
from db.session import read_scope
from scheduler.actions import jobs as actions
from scheduler.actions import samples, submissions
from scheduler.doctor.stalled_jobs import why_stalled
from scheduler.rows import job_row
from scheduler.submission.request import Submitted
from scheduler.web.api.idempotency import IdempotencyHeader, Record, answer_once
from scheduler.web.api.schemas import (
    ChoiceBody,
    JobOut,
    JobPage,
    PriorityBody,
    RetryBody,
    ReviewedOut,
    StateOut,
    SubmissionBody,
    SubmittedOut,
)
from scheduler.web.auth.prefixes import expect_within
from scheduler.web.context import Context, Operator, TheContext, Viewer
from scheduler.web.pages.jobs import JobStateName
from scheduler.web.parameters import LARGEST, Id, KeyPart

router = APIRouter(tags=["jobs"])


@router.get("/jobs")
def list_jobs(
    context: TheContext,
    identity: Viewer,
    state: JobStateName = "",
    text: KeyPart = None,
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
) -> JobPage:
    """Jobs, the newest first. `state`: a state, or `unended` for all states that are not final."""
    chosen = JobFilter(state or None, identity.prefixes, text)
    with read_scope(context.engine) as session:
        jobs, next_before = job_pages.page(session, chosen, before=before, limit=limit)
        hints = why_stalled(session, jobs, silent_seconds=context.settings.silent_seconds)
    return JobPage.model_validate({"jobs": [job_row(progress, hints) for progress in jobs], "next": next_before})


@router.post("/jobs", status_code=201, responses={200: {"model": SubmittedOut, "description": "No job was made"}})
def submit(
    context: TheContext,
    identity: Operator,
    body: SubmissionBody,
    response: Response,
    dry_run: bool = False,
    wait: bool = True,
    idempotency_key: IdempotencyHeader = None,
) -> SubmittedOut:
    """List a collection and make a job of it; for a dry run, only count.

    With `wait=false`, the answer comes at once and holds only the job's number; a scheduler lists the source.
    With an `Idempotency-Key`, sending the same request again gives the same answer, and makes no second job.
    """
    expect_within(identity, body.source, body.destination, body.manifest)

    # A submission that is sent again finds its job, so the answer need not be stored with it.
    def make(_record: Record) -> tuple[int, dict[str, Any]]:
        submitted = submissions.submit(
            context.engine, context.settings, body.submission(), identity.actor, dry_run=dry_run, wait=wait
        )
        return (201 if submitted.job_id is not None and not submitted.already else 200), submitted_row(submitted)

    request = {**body.model_dump(exclude_unset=True), "dry_run": dry_run, "wait": wait}
    response.status_code, row = answer_once(context, identity, idempotency_key, request, make)
    return SubmittedOut.model_validate(row)


def submitted_row(submitted: Submitted) -> dict[str, Any]:
    return {**submitted.as_dict(), "sentence": submitted.sentence()}


@router.get("/jobs/{job_id}")
def show(context: TheContext, identity: Viewer, job_id: Id) -> JobOut:
    context.job(identity, job_id)
    return _job(context, job_id)


@router.post("/jobs/{job_id}/pause")
def pause(context: TheContext, identity: Operator, job_id: Id) -> StateOut:
    """Scans in progress are finished, no others are started."""
    return _change(context, identity, job_id, "pause")


@router.post("/jobs/{job_id}/resume")
def resume(context: TheContext, identity: Operator, job_id: Id) -> StateOut:
    return _change(context, identity, job_id, "resume")


@router.post("/jobs/{job_id}/cancel")
def cancel(context: TheContext, identity: Operator, job_id: Id) -> StateOut:
    """Cancel the job for good. Finished outputs stay."""
    return _change(context, identity, job_id, "cancel")


@router.post("/jobs/{job_id}/approve")
def approve(context: TheContext, identity: Operator, job_id: Id, body: ChoiceBody) -> JobOut:
    """Colour the other scans of a sampled job, in the way that you choose."""
    context.job(identity, job_id)
    samples.approve(
        context.engine, context.settings, job_id, identity.actor, head=body.head, saturation=body.saturation
    )
    return _job(context, job_id)


@router.post("/jobs/{job_id}/reject")
def reject(context: TheContext, identity: Operator, job_id: Id) -> JobOut:
    """End a sampled job."""
    context.job(identity, job_id)
    samples.reject(context.engine, job_id, identity.actor)
    return _job(context, job_id)


@router.post("/jobs/{job_id}/retry")
def retry(context: TheContext, identity: Operator, job_id: Id, body: RetryBody) -> ReviewedOut:
    """Try failed scans again, all or those with one code. Answers how many."""
    context.job(identity, job_id)
    return ReviewedOut(scans=actions.retry(context.engine, job_id, identity.actor, code=body.code))


@router.put("/jobs/{job_id}/priority")
def set_priority(context: TheContext, identity: Operator, job_id: Id, body: PriorityBody) -> JobOut:
    """Set the priority. Jobs with a higher one go first, from the scheduler's next round on."""
    context.job(identity, job_id)
    actions.set_priority(context.engine, job_id, body.priority, identity.actor)
    return _job(context, job_id)


def _change(context: Context, identity: Operator, job_id: int, action: str) -> StateOut:
    context.job(identity, job_id)
    state = actions.change_state(context.engine, job_id, action, identity.actor)
    return StateOut(job=job_id, state=state)


def _job(context: Context, job_id: int) -> JobOut:
    with read_scope(context.engine) as session:
        progress = lifecycle.progress(session, job_id)
        hints = why_stalled(session, [progress], silent_seconds=context.settings.silent_seconds)
    return JobOut.model_validate(job_row(progress, hints))
