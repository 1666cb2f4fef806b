"""The list of jobs, which is the front page, and actions on a job."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from db.queries.pages import jobs as job_pages
from db.queries.pages.jobs import JobFilter
from db.session import read_scope
from scheduler.actions import jobs as actions
from scheduler.doctor.stalled_jobs import undelivered, why_stalled
from scheduler.web.context import Operator, TheContext, Viewer
from scheduler.web.parameters import LARGEST, Code, Id, KeyPart
from scheduler.web.rendering import render

router = APIRouter()
PAGE_JOBS = 25
JobStateName = Literal["", "unended", "submitting", "sampled", "running", "paused", "completed", "aborted", "cancelled"]


@router.get("/")
def front(_: Viewer) -> Response:
    return RedirectResponse("/jobs", 303)


@router.get("/jobs")
def list_jobs(
    request: Request,
    context: TheContext,
    identity: Viewer,
    state: JobStateName = "",
    text: KeyPart = None,
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    fragment: bool = False,
) -> Response:
    chosen = JobFilter(state or None, identity.prefixes, text)
    with read_scope(context.engine) as session:
        jobs, next_before = job_pages.page(session, chosen, before=before, limit=PAGE_JOBS)
        hints = why_stalled(session, jobs, silent_seconds=context.settings.silent_seconds) + undelivered(session)
    values = {
        "jobs": jobs,
        "hints": hints,
        "state": state,
        "text": text or "",
        "before": before,
        "next_before": next_before,
    }
    return render(request, "jobs_list.html" if fragment else "jobs.html", values)


@router.post("/jobs/{job_id}/control")
def control(
    context: TheContext,
    identity: Operator,
    job_id: Id,
    action: Annotated[Literal["pause", "resume", "cancel", "retry", "priority"], Form()],
    priority: Annotated[int, Form(), Field(ge=-(2**31), lt=2**31)] = 0,
    code: Annotated[Code, Form()] = None,
    next: Annotated[str, Form(max_length=4_096)] = "/jobs",
) -> Response:
    context.job(identity, job_id)
    if action == "retry":
        actions.retry(context.engine, job_id, identity.actor, code=code)
    elif action == "priority":
        actions.set_priority(context.engine, job_id, priority, identity.actor)
    else:
        actions.change_state(context.engine, job_id, action, identity.actor)
    return RedirectResponse(own_address(next), 303)


def own_address(address: str) -> str:
    """The page to continue with. An address of another site in a form is not used."""
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if safe and "\\" not in address else "/jobs"
