"""One job: its progress, its scans as a grid of pictures, its failures, its settings, its report."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from db.models.jobs import JobState
from db.models.reviews import Verdict
from db.queries.access import audit
from db.queries.jobs import lifecycle
from db.queries.pages import jobs as job_pages
from db.queries.pages import scans as scan_pages
from db.queries.reports import redos, reviews
from db.session import read_scope
from scheduler.doctor.stalled_jobs import why_stalled
from scheduler.rows import seconds_left
from scheduler.text import why_aborted
from scheduler.web.context import Context, TheContext, Viewer
from scheduler.web.csv_stream import csv_of_scans
from scheduler.web.forms import choices
from scheduler.web.parameters import CursorText, Id, ScanQuery
from scheduler.web.rendering import render
from scheduler.web.temporary_files import TemporaryFileResponse
from worker.errors import NotFound
from worker.storage import open_storage, parse_location

router = APIRouter()
PAGE_SCANS = 60
MOST_COUNTED = 1_000
MOST_COUNTED_SCANS = 10_000
AUDIT_ROWS = 30
# A report contains its own scripts and styles, so it is shown as a separate site, which has no access to the pages.
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class GridQuery(ScanQuery):
    """Which scans the grid shows, and where it begins."""

    cursor: CursorText = None

    def arguments(self) -> dict[str, str]:
        return {name: value for name, value in super().arguments().items() if name != "cursor"}


@router.get("/jobs/{job_id}")
def show_scans(
    request: Request, context: TheContext, identity: Viewer, job_id: Id, query: Annotated[GridQuery, Query()]
) -> Response:
    context.job(identity, job_id)
    return grid_page(request, context, job_id, query)


@dataclass(frozen=True, slots=True)
class RefusedChoice:
    """What a person sent from the grid and what was not done, so that nothing must be chosen or typed again."""

    problem: str
    scan_ids: Collection[int] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


NOTHING_REFUSED = RefusedChoice("")


def grid_page(
    request: Request, context: Context, job_id: int, query: GridQuery, refused: RefusedChoice = NOTHING_REFUSED
) -> Response:
    """The page with the job's scans as pictures. `refused`: what the page before it sent."""
    with read_scope(context.engine) as session:
        page = scan_pages.page(session, job_id, query.filter, query.order, query.cursor, limit=PAGE_SCANS)
        values = head_values(session, context, job_id)
        scan_ids = [scan.id for scan in page.scans]
        stages, latest_reviews = redos.stages(session, job_id, scan_ids), reviews.latest(session, scan_ids)
        with_two_results = redos.with_two_results(session, job_id, scan_ids)
        whole = query.filter == scan_pages.ScanFilter()
        matching = None if whole else scan_pages.count(session, job_id, query.filter, limit=MOST_COUNTED_SCANS)
        codes = [code for _, code, _ in values["problems"]]
    arguments = query.arguments()
    values |= {
        "tab": "scans",
        "most_compared": scan_pages.MOST_COMPARED,
        "scans": page.scans,
        "stages": stages,
        "reviews": latest_reviews,
        "with_two_results": with_two_results,
        "matching": values["progress"].total if matching is None else matching,
        "or_more": matching == MOST_COUNTED_SCANS,
        "query": query,
        "codes": codes,
        "arguments": urlencode(arguments),
        "previous": page.previous and urlencode({**arguments, "cursor": str(page.previous)}),
        "next": page.next and urlencode({**arguments, "cursor": str(page.next)}),
        "next_cursor": str(page.next or ""),
        "refused": refused,
        "grid": grid_address(job_id, query),
    }
    return render(request, "job_scans.html", values | choices(context), status=refused.status)


def grid_address(job_id: int, query: GridQuery) -> str:
    """The address of the page of the grid that `query` gives."""
    arguments = {**query.arguments(), **({"cursor": query.cursor} if query.cursor else {})}
    return f"/jobs/{job_id}" + (f"?{urlencode(arguments)}" if arguments else "")


@router.get("/jobs/{job_id}/head")
def show_head(request: Request, context: TheContext, identity: Viewer, job_id: Id) -> Response:
    """The part of the page that is updated while the job runs."""
    context.job(identity, job_id)
    with read_scope(context.engine) as session:
        return render(request, "job_head.html", head_values(session, context, job_id))


@router.get("/jobs/{job_id}/failures")
def show_failures(request: Request, context: TheContext, identity: Viewer, job_id: Id) -> Response:
    context.job(identity, job_id)
    with read_scope(context.engine) as session:
        values = head_values(session, context, job_id)
        problems = [
            {"state": state, "code": code, "count": count, "example": job_pages.example(session, job_id, state, code)}
            for state, code, count in values["problems"]
        ]
    return render(request, "job_failures.html", {**values, "tab": "failures", "listed": problems})


@router.get("/jobs/{job_id}/details")
def show_details(request: Request, context: TheContext, identity: Viewer, job_id: Id) -> Response:
    context.job(identity, job_id)
    with read_scope(context.engine) as session:
        values = head_values(session, context, job_id)
        entries = audit.of_job(session, job_id, limit=AUDIT_ROWS)
    return render(request, "job_details.html", {**values, "tab": "details", "entries": entries})


@router.get("/jobs/{job_id}/report")
def show_report(context: TheContext, identity: Viewer, job_id: Id) -> Response:
    """The report that a scheduler wrote into the destination."""
    job = context.job(identity, job_id)
    if job.report_key is None:
        raise NotFound(f"job {job_id} has no report yet; a scheduler writes it when the job ends")
    storage = open_storage(parse_location(job.destination), s3=context.settings.s3_options)
    file = context.downloads.fetch(storage, job.report_key, etag=None, max_bytes=64 << 20)
    headers = {"content-security-policy": REPORT_POLICY, "cache-control": "no-store"}
    return TemporaryFileResponse(file, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/jobs/{job_id}/scans.csv")
def download_csv(context: TheContext, identity: Viewer, job_id: Id) -> Response:
    """Every column of every scan, as `photochrom scans JOB --csv` writes it."""
    context.job_with_rows(identity, job_id)
    headers = {"content-disposition": f'attachment; filename="photochrom-job-{job_id}.csv"'}
    return StreamingResponse(csv_of_scans(context.engine, job_id), media_type="text/csv", headers=headers)


def head_values(session: Any, context: Context, job_id: int) -> dict[str, Any]:
    progress = lifecycle.progress(session, job_id)
    verdicts, unfinished_redos = verdict_tally(session, job_id)
    return {
        "progress": progress,
        "job": progress.job,
        "left": seconds_left(progress),
        "aborted": why_aborted(progress),
        "hints": why_stalled(session, [progress], silent_seconds=context.settings.silent_seconds),
        "problems": job_pages.problem_counts(session, job_id),
        "verdicts": verdicts,
        "redos": unfinished_redos,
        "doubtful_count": job_pages.count_doubtful(session, job_id, limit=MOST_COUNTED),
        "goes_on": progress.job.state not in JobState.ENDED,
    }


def verdict_tally(session: Any, job_id: int) -> tuple[dict[str, int], list[redos.RedoJob]]:
    """How many scans have each verdict, and the jobs of redos that still have outputs to make.

    An output that is still to be made again does not count as redone; its word is one of those in `redos`.
    """
    verdicts = job_pages.verdict_counts(session, job_id)
    if not verdicts.pop(Verdict.REDONE, 0):
        return verdicts, []
    words, unfinished = redos.tally(session, job_id)
    return verdicts | words, unfinished
