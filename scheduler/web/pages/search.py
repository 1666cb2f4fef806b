"""Finds one scan over all jobs: what happened to it."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from db.models.archives import ArchivedScan
from db.queries.pages import scan_search
from db.queries.pages.scan_search import FoundScans
from db.session import read_scope
from scheduler.web.context import TheContext, Viewer
from scheduler.web.parameters import CursorText, KeyPart
from scheduler.web.rendering import render

router = APIRouter()
PAGE_ROWS = 50


@router.get("/scans")
def find(
    request: Request, context: TheContext, identity: Viewer, key: KeyPart = None, cursor: CursorText = None
) -> Response:
    values: dict[str, Any] = {"key": key or "", "history": [], "next": ""}
    if key:
        with read_scope(context.engine) as session:
            page = scan_search.find(session, key, prefixes=identity.prefixes, limit=PAGE_ROWS, cursor_text=cursor)
        values |= {"history": history_rows(page)}
        values |= {"next": page.next and urlencode({"key": key, "cursor": str(page.next)})}
    return render(request, "search.html", values)


def history_rows(page: FoundScans) -> list[tuple[Any, Any, bool]]:
    """Each row with whether it is archived."""
    return [(scan, job, isinstance(scan, ArchivedScan)) for scan, job in page.rows]
