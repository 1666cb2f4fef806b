"""Thumbnails of scans and outputs as data URIs, so that the report is one file."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyvips

from scheduler.report.data import Picture
from scheduler.report.plain_text import without_credentials, without_key
from scheduler.report.thumbnails.reduced import flat, reduced
from worker.errors import PhotochromError
from worker.scans.reading.loading import reading
from worker.scans.reading.scan_file import ScanLimits, open_scan_file
from worker.scans.vips import block_other_formats

THUMBNAIL_PIXELS = 420  # the longer side
# 48 thumbnails of this size take 3.2 MB in base64, of the report's limit of 5 MB.
THUMBNAIL_BYTES = 48 * 1024
QUALITIES = (80, 65, 50, 35, 20)
# Fetching a larger file would take too long for a report.
FETCH_BYTES = 256 << 20
_OF_FILE = ("is ", "has ", "ends ", "begins ", "holds ")  # a sentence about a file, without the file's name


class Fetches(Protocol):
    """The part of a storage that the report needs: it fetches a file by its key, or raises PhotochromError."""

    def fetch(self, key: str, path: Path, *, etag: str | None, max_bytes: int) -> object: ...


def picture(
    storage: Fetches, key: str, path: Path, make: Callable[[Path], Picture], *, etag: str | None = None
) -> Picture | str:
    """The thumbnail of the image under `key`, or a sentence that says why there is none.

    `path`: a file for temporary use.

    make: ThumbnailProcess.thumbnail. With an etag, a file that was replaced since then is not shown.
    """
    try:
        storage.fetch(key, path, etag=etag, max_bytes=FETCH_BYTES)
        return make(path)
    except PhotochromError as error:
        sentence = without_key(without_key(without_credentials(str(error)), key), path.name)
        return f"It {sentence}" if sentence.startswith(_OF_FILE) else sentence
    finally:
        path.unlink(missing_ok=True)
        _remove_unpacked(path)  # which a process that was killed leaves


def _small(path: Path) -> pyvips.Image:
    block_other_formats()
    try:
        file = open_scan_file(path, path.name, ScanLimits(FETCH_BYTES, 1 << 40))
        with reading(file):
            return flat(reduced(file, THUMBNAIL_PIXELS)).copy_memory()
    finally:
        _remove_unpacked(path)


def _remove_unpacked(path: Path) -> None:
    for unpacked in path.parent.glob(f"*{path.name}.*unpacked"):  # unfinished ones have a longer name
        unpacked.unlink(missing_ok=True)


def thumbnail(path: Path) -> Picture:
    """An sRGB JPEG of at most THUMBNAIL_PIXELS and THUMBNAIL_BYTES, without metadata.

    Raises pyvips.Error, or ScanError for the same files as a worker.
    """
    image = _small(path)
    for quality in QUALITIES:
        content = image.jpegsave_buffer(Q=quality, keep="none")
        if len(content) <= THUMBNAIL_BYTES:
            break
    uri = "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
    return Picture(uri, image.width, image.height)
