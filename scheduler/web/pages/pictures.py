"""Serves thumbnails, tiles and whole files of a scan."""

from html import escape
from textwrap import wrap
from typing import Annotated, Literal
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, JSONResponse, Response

from scheduler.web.context import Context, TheContext, Viewer
from scheduler.web.parameters import Id
from scheduler.web.pictures.files import PictureFile, picture_file
from scheduler.web.pictures.rendering import TILE_PIXELS
from scheduler.web.temporary_files import TemporaryFileResponse
from worker.errors import ScanError, ServiceUnavailable
from worker.scans import content_type
from worker.storage import open_storage, parse_location

router = APIRouter()
Side = Literal["before", "after"]
_MINE_FOR_A_DAY = "private, max-age=86400"  # an address changes when its file changes
_PLACE = "/jobs/{job_id}/scans/{scan_id}/{side}"
Step = Annotated[int, Path(ge=0, le=1_000_000)]


@router.get(_PLACE + "/{size}.jpg")
async def thumbnail(
    request: Request,
    context: TheContext,
    identity: Viewer,
    job_id: Id,
    scan_id: Id,
    side: Side,
    size: Literal["small", "large"],
) -> Response:
    file = await _file(context, identity, job_id, scan_id, side)
    etag = f'"{file.name}-{size}"'
    if _has(request, etag):
        return Response(status_code=304, headers=_headers(etag))
    try:
        path = await context.pictures.thumbnail(file, size)
    except (ScanError, ServiceUnavailable) as error:
        return _no_picture(error)
    return FileResponse(path, media_type="image/jpeg", headers=_headers(etag))


@router.get(_PLACE + "/tiles.json")
async def tiles(context: TheContext, identity: Viewer, job_id: Id, scan_id: Id, side: Side) -> Response:
    """What the viewer needs: the side of a tile, and the size of each level, the whole picture first."""
    file = await _file(context, identity, job_id, scan_id, side)
    pyramid = await context.pictures.pyramid(file)
    content = {"tile": TILE_PIXELS, "levels": pyramid.levels, "version": file.name[:12]}
    return JSONResponse(content, headers={"cache-control": "private, no-cache"})


@router.get(_PLACE + "/tiles/{level}/{column}/{row}.jpg")
async def tile(
    request: Request,
    context: TheContext,
    identity: Viewer,
    job_id: Id,
    scan_id: Id,
    side: Side,
    level: Annotated[int, Path(ge=0, le=30)],
    column: Step,
    row: Step,
) -> Response:
    file = await _file(context, identity, job_id, scan_id, side)
    etag = f'"{file.name}-{level}-{column}-{row}"'
    if _has(request, etag):
        return Response(status_code=304, headers=_headers(etag))
    content = await context.pictures.tile(file, level, column, row)
    return Response(content, media_type="image/jpeg", headers=_headers(etag))


@router.get(_PLACE + "/file")
def download(context: TheContext, identity: Viewer, job_id: Id, scan_id: Id, side: Side) -> Response:
    """The file itself, unchanged from the store."""
    job, scan = context.scan(identity, job_id, scan_id)
    file = picture_file(job, scan, side)
    storage = open_storage(parse_location(file.uri), s3=context.settings.s3_options, is_source=file.is_source)
    name = quote(file.key.rpartition("/")[2].encode("utf-8", "replace"), safe="")
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{name}", "cache-control": "no-store"}
    media_type, max_bytes = content_type(file.key), context.settings.max_scan_bytes
    fetched = context.downloads.fetch(storage, file.key, etag=file.etag, max_bytes=max_bytes)
    return TemporaryFileResponse(fetched, media_type=media_type, headers=headers)


async def _file(context: Context, identity: Viewer, job_id: int, scan_id: int, side: str) -> PictureFile:
    job, scan = await anyio.to_thread.run_sync(context.scan, identity, job_id, scan_id)
    return picture_file(job, scan, side)


def _has(request: Request, etag: str) -> bool:
    return etag in request.headers.get("if-none-match", "")


def _headers(etag: str) -> dict[str, str]:
    return {"etag": etag, "cache-control": _MINE_FOR_A_DAY}


def _no_picture(error: ScanError | ServiceUnavailable) -> Response:
    """A picture with the reason why there is none. The browser does not cache it."""
    lines = _lines(error.message, 34)
    text = "".join(f'<text x="20" y="{64 + 24 * number}">{escape(line)}</text>' for number, line in enumerate(lines))
    content = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 270" font-family="sans-serif" font-size="15" '
        f'fill="#6b6459"><rect width="360" height="270" fill="#e9e3d7"/>'
        f'<text x="20" y="34" font-weight="bold">No picture</text>{text}</svg>'
    )
    status = 503 if isinstance(error, ServiceUnavailable) else 422
    return Response(content.encode(), status, {"cache-control": "no-store"}, "image/svg+xml")


def _lines(text: str, letters: int) -> list[str]:
    shown = "".join(char if char.isprintable() else " " for char in text)
    return wrap(shown, letters, max_lines=8)
