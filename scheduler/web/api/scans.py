"""A job's scans, listed by cursor, and verdicts on them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from db.queries.pages import scan_search
from db.queries.pages import scans as scan_pages
from db.queries.reports import reviews
from db.session import read_scope
from scheduler.actions import reviews as actions
from scheduler.rows import history_row, scan_row, verdict_row
from scheduler.web.api.idempotency import IdempotencyHeader, Record, answer_once
from scheduler.web.api.schemas import (
    HistoryPage,
    KeepBody,
    KeptOut,
    RedoBody,
    RedoneOut,
    ReviewBody,
    ReviewedOut,
    ScanOut,
    ScanPage,
    UndoneOut,
    VerdictOut,
)
from scheduler.web.context import Reviewer, TheContext, Viewer
from scheduler.web.parameters import LONGEST_KEY, CursorText, Id, ScanQuery, Words

router = APIRouter(tags=["scans"])


class PageQuery(ScanQuery):
    """Which scans, and where the page begins."""

    cursor: CursorText = None
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100


@router.get("/jobs/{job_id}/scans")
def list_scans(context: TheContext, identity: Viewer, job_id: Id, query: Annotated[PageQuery, Query()]) -> ScanPage:
    """Every column of each scan. For the next page, send the same request with the value of `next` as `cursor`."""
    context.job_with_rows(identity, job_id)
    with read_scope(context.engine) as session:
        page = scan_pages.page(session, job_id, query.filter, query.order, query.cursor, limit=query.limit)
    rows = [scan_row(scan) for scan in page.scans]
    return ScanPage.model_validate({"scans": rows, "next": str(page.next) if page.next else None})


@router.get("/scans")
def find_scans(
    context: TheContext,
    identity: Viewer,
    key: Annotated[Words, Query(min_length=1, max_length=LONGEST_KEY)],
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> HistoryPage:
    """What happened to one scan in all jobs, the latest job first.

    `key`: the whole key of the scan or its output, or the whole path or s3:// location of either. For the next page,
    send the same request with the value of `next` as `cursor`.
    """
    with read_scope(context.engine) as session:
        page = scan_search.find(session, key, prefixes=identity.prefixes, limit=limit, cursor_text=cursor)
    rows = [history_row(scan, job) for scan, job in page.rows]
    return HistoryPage.model_validate({"scans": rows, "next": str(page.next) if page.next else None})


@router.get("/jobs/{job_id}/scans/{scan_id}", response_model=ScanOut)
def show_scan(context: TheContext, identity: Viewer, job_id: Id, scan_id: Id) -> object:
    _, scan = context.scan(identity, job_id, scan_id)
    return scan_row(scan)


@router.get("/jobs/{job_id}/reviews")
def list_reviews(
    context: TheContext, identity: Viewer, job_id: Id, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> list[VerdictOut]:
    """The latest verdict on each reviewed output, the latest first."""
    context.job(identity, job_id)
    with read_scope(context.engine) as session:
        verdicts = reviews.verdicts(session, job_id, limit=limit)
    return [VerdictOut.model_validate(verdict_row(review, key)) for review, key in verdicts]


@router.post("/jobs/{job_id}/reviews")
def review(context: TheContext, identity: Reviewer, job_id: Id, body: ReviewBody) -> ReviewedOut:
    """Record a verdict on outputs. With `seen`, the answer is a conflict if somebody else has given a newer verdict."""
    context.job(identity, job_id)
    count = actions.decide(
        context.engine, job_id, body.scans, body.verdict, identity.actor, note=body.note, seen=body.seen
    )
    return ReviewedOut(scans=count)


@router.post("/jobs/{job_id}/redo", status_code=201)
def redo(
    context: TheContext, identity: Reviewer, job_id: Id, body: RedoBody, idempotency_key: IdempotencyHeader = None
) -> RedoneOut:
    """Make a job that makes outputs again, beside the earlier ones. `seen` is as for a verdict.

    When that job is done, /jobs/{job_id}/choose ends the redo. With an `Idempotency-Key`, sending the same request
    again gives the same answer, and makes no second job.
    """
    context.job(identity, job_id)

    def make(record: Record) -> tuple[int, dict[str, Any]]:
        redo_job_id = actions.redo(
            context.engine,
            context.settings,
            job_id,
            body.scans,
            identity.actor,
            changes=body.options(),
            note=body.note,
            seen=body.seen,
            record=lambda session, job: record(session, 201, {"job": job}),
        )
        return 201, {"job": redo_job_id}

    request = {"redo": job_id, **body.model_dump(exclude_unset=True)}
    return RedoneOut.model_validate(answer_once(context, identity, idempotency_key, request, make)[1])


@router.post("/jobs/{job_id}/choose")
def choose(
    context: TheContext, identity: Reviewer, job_id: Id, body: KeepBody, idempotency_key: IdempotencyHeader = None
) -> KeptOut:
    """End a redo: keep the earlier outputs, or take the new ones, which a worker then puts into their place.

    The answer is a conflict while a new output is not done, or if somebody has chosen already. With an
    `Idempotency-Key`, sending the same request again gives the same answer.
    """
    context.job(identity, job_id)

    def make(record: Record) -> tuple[int, dict[str, Any]]:
        jobs = actions.choose(
            context.engine,
            job_id,
            body.scans,
            actions.CHOICES[body.choice],
            identity.actor,
            chunk_scans=context.settings.chunk_scans,
            note=body.note,
            seen=body.seen,
            record=lambda session, jobs: record(session, 200, {"scans": len(body.scans), "jobs": jobs}),
        )
        return 200, {"scans": len(body.scans), "jobs": jobs}

    request = {"choose": job_id, **body.model_dump(exclude_unset=True)}
    return KeptOut.model_validate(answer_once(context, identity, idempotency_key, request, make)[1])


@router.post("/jobs/{job_id}/undo")
def undo(context: TheContext, identity: Reviewer, job_id: Id) -> UndoneOut:
    """Take back your latest verdict in this job."""
    context.job(identity, job_id)
    return UndoneOut(scan=actions.undo(context.engine, job_id, identity.actor))
