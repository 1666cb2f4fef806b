"""One scan: both pictures, everything in its row, its history, and its verdict."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from db.models.jobs import Job, Scan
from db.queries.pages import scan_search
from db.queries.pages import scans as scan_pages
from db.queries.reports import redos, reviews
from db.session import read_scope
from scheduler.report.outliers import FAR, ab_distances, distances
from scheduler.rows import scan_row
from scheduler.web.context import TheContext, Viewer
from scheduler.web.forms import choices
from scheduler.web.pages.search import history_rows
from scheduler.web.parameters import Asked, Id, ScanQuery
from scheduler.web.rendering import render

router = APIRouter()
HISTORY_ROWS = 50
FOLDER_ROWS = 500


@router.get("/jobs/{job_id}/scans/{scan_id}")
def show_scan(
    request: Request,
    context: TheContext,
    identity: Viewer,
    job_id: Id,
    scan_id: Id,
    query: Asked,
) -> Response:
    job, scan = context.scan(identity, job_id, scan_id)
    with read_scope(context.engine) as session:
        values = scan_values(session, job, scan, query)
        place = f"{job.source}/{scan.source_key}"
        page = scan_search.find(session, place, prefixes=identity.prefixes, limit=HISTORY_ROWS, sources_alone=True)
        values |= {"history": history_rows(page), "more_history": page.next is not None, "place": place}
    return render(request, "scan.html", {**values, "row": scan_row(scan), **choices(context)})


def scan_values(session: Session, job: Job, scan: Scan, query: ScanQuery) -> dict[str, Any]:
    """The values that both a scan's page and its review show."""
    review = reviews.latest(session, [scan.id]).get(scan.id)
    redone = reviews.redone(session, scan)
    following = scan_pages.neighbour(session, scan, query.filter, query.order)
    return {
        "job": job,
        "scan": scan,
        "review": review,
        "redone": redone,
        "redos": redos.of_scan(*redone) if redone else [],
        "verdict": redos.stage(redone[1], redone[0].state) if redone else scan.verdict,
        "remade": scan_pages.remade_by(session, scan, job),
        "previous": scan_pages.neighbour(session, scan, query.filter, query.order, backwards=True),
        "next": following,
        "next_scan": following and session.get(Scan, following),
        "query": query,
        "unlike": _unlike_its_folder(session, scan),
        "arguments": urlencode(query.arguments()),
    }


def _unlike_its_folder(session: Session, scan: Scan) -> str:
    """How the output differs from the others in its folder, in words; "" if it is like them."""
    colours = scan_pages.colours_of(scan)
    if colours is None:
        return ""
    neighbours = scan_pages.folder_colours(session, scan, limit=FOLDER_ROWS)
    folder = [*(of_scan for scan_id, of_scan in neighbours.items() if scan_id != scan.id), colours]
    distance = distances(of_scan.colourfulness for of_scan in folder)[-1]
    means = [of_scan.mean_ab for of_scan in folder if of_scan.mean_ab is not None]
    if colours.mean_ab is not None and ab_distances(means)[-1] > max(FAR, abs(distance)):
        return "has other colours than"
    return f"is much {'more' if distance > 0 else 'less'} colourful than" if abs(distance) > FAR else ""
