"""A job's scans, listed by cursor, and verdicts on them."""

from typing import Annotated

from fastapi import APIRouter, Query

from db.queries.pages import scans as scan_pages
from db.queries.reports import reviews
from db.session import read_scope
from scheduler.actions import reviews as actions
from scheduler.rows import scan_row
from scheduler.submission.checkpoints import redo_options
from scheduler.web.api.schemas import (
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
from scheduler.web.parameters import CursorText, Id, ScanQuery

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
    names = VerdictOut.model_fields.keys() - {"source_key"}
    rows = [{"source_key": key, **{name: getattr(review, name) for name in names}} for review, key in verdicts]
    return [VerdictOut.model_validate(row) for row in rows]


@router.post("/jobs/{job_id}/reviews")
def review(context: TheContext, identity: Reviewer, job_id: Id, body: ReviewBody) -> ReviewedOut:
    """Record a verdict on outputs. With `seen`, the answer is a conflict if somebody else has given a newer verdict."""
    context.job(identity, job_id)
    count = actions.decide(
        context.engine, job_id, body.scans, body.verdict, identity.actor, note=body.note, seen=body.seen
    )
    return ReviewedOut(scans=count)


@router.post("/jobs/{job_id}/redo", status_code=201)
def redo(context: TheContext, identity: Reviewer, job_id: Id, body: RedoBody) -> RedoneOut:
    """Make a job that makes outputs again, beside the earlier ones. `seen` is as for a verdict."""
    context.job(identity, job_id)
    redo_job_id = actions.redo(
        context.engine,
        job_id,
        body.scans,
        identity.actor,
        options=redo_options(context.settings, body.options()),
        chunk_scans=context.settings.chunk_scans,
        note=body.note,
        seen=body.seen,
    )
    return RedoneOut(job=redo_job_id)


@router.post("/jobs/{job_id}/undo")
def undo(context: TheContext, identity: Reviewer, job_id: Id) -> UndoneOut:
    """Take back your latest verdict in this job."""
    context.job(identity, job_id)
    return UndoneOut(scan=actions.undo(context.engine, job_id, identity.actor))
