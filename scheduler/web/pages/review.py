"""Review, one picture after another: a person looks, presses a key for the verdict, and sees the next picture."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from db.models.jobs import Job, Scan, ScanState
from db.queries.pages import jobs as job_pages
from db.queries.pages import scans as scan_pages
from db.session import read_scope
from scheduler.actions import reviews as actions
from scheduler.web.context import Context, Reviewer, TheContext
from scheduler.web.forms import choices
from scheduler.web.pages.job import verdict_tally
from scheduler.web.pages.scan import scan_values
from scheduler.web.parameters import LARGEST, Asked, Id, Note, ScanQuery
from scheduler.web.rendering import render
from worker.errors import Conflict

router = APIRouter()
MOST_COUNTED = 10_000  # scans; a walk through a longer list shows no position
# The default lists: first the doubtful outputs, then all that have no verdict.
DOUBTFUL = ScanQuery(doubtful=True, order="doubtful")
UNREVIEWED = ScanQuery(state="done", verdict="none")


@router.get("/jobs/{job_id}/review")
def begin(request: Request, context: TheContext, identity: Reviewer, job_id: Id, query: Asked) -> Response:
    """Go to the first output in the list."""
    job = context.job(identity, job_id)
    choices = [query] if query.arguments() else [DOUBTFUL, UNREVIEWED]
    with read_scope(context.engine) as session:
        for chosen in choices:
            page = scan_pages.page(session, job_id, chosen.filter, chosen.order, None, limit=1)
            if page.scans:
                return RedirectResponse(_address(job_id, page.scans[0].id, chosen), 303)
    return _end(request, context, job, query)


@router.get("/jobs/{job_id}/review/end")
def end(request: Request, context: TheContext, identity: Reviewer, job_id: Id, query: Asked) -> Response:
    """The page at the end of a list."""
    return _end(request, context, context.job(identity, job_id), query, walked=True)


@router.get("/jobs/{job_id}/review/{scan_id}")
def show(
    request: Request,
    context: TheContext,
    identity: Reviewer,
    job_id: Id,
    scan_id: Id,
    query: Asked,
) -> Response:
    return _page(request, context, identity, job_id, scan_id, query)


@router.post("/jobs/{job_id}/review/{scan_id}")
def decide(
    request: Request,
    context: TheContext,
    identity: Reviewer,
    job_id: Id,
    scan_id: Id,
    query: Asked,
    action: Annotated[Literal["accept", "reject"], Form()],
    seen: Annotated[int, Form(ge=0, le=LARGEST)],
    note: Annotated[Note, Form()] = None,
) -> Response:
    """Record a verdict. `seen`: the review that the page showed, 0 for none.

    If there is a newer one, the page is shown again.
    """
    _, scan = context.scan(identity, job_id, scan_id)
    with read_scope(context.engine) as session:
        following = scan_pages.neighbour(session, scan, query.filter, query.order)
    try:
        actions.decide(
            context.engine, job_id, [scan_id], action, identity.actor, note=note, seen={scan_id: seen or None}
        )
    except Conflict as error:
        return _page(request, context, identity, job_id, scan_id, query, conflict=error.message)
    if following is None and query in (DOUBTFUL, UNREVIEWED):
        return RedirectResponse(f"/jobs/{job_id}/review", 303)
    return RedirectResponse(_onward(job_id, following, query), 303)


@router.post("/jobs/{job_id}/undo")
def undo(context: TheContext, identity: Reviewer, job_id: Id, query: Asked) -> Response:
    """Take back the latest verdict, and go back to its scan."""
    context.job(identity, job_id)
    scan_id = actions.undo(context.engine, job_id, identity.actor)
    return RedirectResponse(_address(job_id, scan_id, query), 303)


def _page(
    request: Request,
    context: TheContext,
    identity: Reviewer,
    job_id: int,
    scan_id: int,
    query: ScanQuery,
    *,
    conflict: str = "",
) -> Response:
    job, scan = context.scan(identity, job_id, scan_id)
    with read_scope(context.engine) as session:
        values = scan_values(session, job, scan, query)
        values |= _counts(session, scan, query)
    values["onward"] = _onward(job_id, values["next"], query)
    values |= {"conflict": conflict, "can_decide": scan.state == ScanState.DONE, **choices(context)}
    return render(request, "review.html", values, status=409 if conflict else 200)


def _counts(session: Session, scan: Scan, query: ScanQuery) -> dict[str, Any]:
    """The number of scans that are left in the default lists, or the scan's position in the list that was chosen."""
    values: dict[str, Any] = {"position": None, **_left(session, scan.job_id)}
    if query not in (DOUBTFUL, UNREVIEWED):
        values["position"] = scan_pages.position(session, scan, query.filter, query.order, limit=MOST_COUNTED)
        values["list_length"] = scan_pages.count(session, scan.job_id, query.filter, limit=MOST_COUNTED)
    return values


def _left(session: Session, job_id: int) -> dict[str, Any]:
    doubtful = job_pages.count_doubtful(session, job_id, limit=MOST_COUNTED)
    unreviewed = scan_pages.count(session, job_id, UNREVIEWED.filter, limit=MOST_COUNTED)
    return {
        "doubtful_count": doubtful,
        "others_count": max(0, unreviewed - doubtful),
        "most_counted": MOST_COUNTED,
        "or_more": unreviewed >= MOST_COUNTED,
        "verdicts": verdict_tally(session, job_id)[0],
    }


def _end(request: Request, context: Context, job: Job, query: ScanQuery, *, walked: bool = False) -> Response:
    with read_scope(context.engine) as session:
        values = _left(session, job.id)
    values |= {"job": job, "chosen": walked or bool(query.arguments()), "arguments": urlencode(query.arguments())}
    return render(request, "review_end.html", values)


def _onward(job_id: int, following: int | None, query: ScanQuery) -> str:
    """The address of the list's next scan. After the doubtful scans come the unreviewed ones; other lists just end."""
    if following is not None:
        return _address(job_id, following, query)
    if query == DOUBTFUL:
        return f"/jobs/{job_id}/review?{urlencode(UNREVIEWED.arguments())}"
    return f"/jobs/{job_id}/review/end?{urlencode(query.arguments())}"


def _address(job_id: int, scan_id: int, query: ScanQuery) -> str:
    arguments = urlencode(query.arguments())
    return f"/jobs/{job_id}/review/{scan_id}" + (f"?{arguments}" if arguments else "")
