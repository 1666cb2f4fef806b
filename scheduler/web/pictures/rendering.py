"""Thumbnails and pyramids of tiles from files that may be hostile. This runs only in a separate process."""

from dataclasses import dataclass
from pathlib import Path

import pyvips

from scheduler.report.thumbnails.reduced import flat, reduced
from worker.errors import ScanError
from worker.scans import ScanFile, ScanLimits, open_scan_file, probe_pages
from worker.scans.reading.loading import load, reading
from worker.scans.reading.strictness import decoded
from worker.scans.vips import last_line

THUMBNAIL_SIDES = {"small": 480, "large": 1600}  # pixels of the longer side
TILE_PIXELS = 512
_TIFF_STEP = 16  # a tile's side in a TIFF is a multiple of it
_QUALITY = {"small": 80, "large": 86}
_TILE_QUALITY = 88


@dataclass(frozen=True, slots=True)
class Pyramid:
    """(width, height) of each level in pixels. The first level is the whole picture; each next one is half as large."""

    levels: tuple[tuple[int, int], ...]


def thumbnail(path: Path, key: str, limits: ScanLimits, size: str, target: Path) -> None:
    """Write an sRGB JPEG without metadata to `target`. Raises ScanError for the same files as a worker."""
    file = open_scan_file(path, key, limits)
    probe_pages(file, limits)
    side = THUMBNAIL_SIDES[size]
    with reading(file):
        small = reduced(file, side)
        flat(small).jpegsave(str(target), Q=_QUALITY[size], keep="none", optimize_coding=True)


def make_pyramid(path: Path, key: str, limits: ScanLimits, target: Path) -> Pyramid:
    """Write a TIFF to `target` whose pages are the levels, in JPEG tiles. The file is read once, in bounded memory."""
    file = open_scan_file(path, key, limits)
    probe_pages(file, limits)
    with reading(file):
        decoded(file, lambda: _save_pyramid(file, target))
    return read_pyramid(target)


def _save_pyramid(file: ScanFile, target: Path) -> None:
    image = load(file)
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = _any_row_of(image, file.path).autorot()
    # libvips (8.18) reads no tiles that are many times as large as their picture.
    side = min(TILE_PIXELS, -(-max(image.width, image.height) // _TIFF_STEP) * _TIFF_STEP)
    flat(image).tiffsave(
        str(target),
        tile=True,
        tile_width=side,
        tile_height=side,
        pyramid=True,
        compression="jpeg",
        Q=_TILE_QUALITY,
        bigtiff=True,
        keep="none",
    )


def read_pyramid(path: Path) -> Pyramid:
    """The levels of a pyramid. Raises ScanError for a file that is not a pyramid."""
    try:
        first = pyvips.Image.tiffload(str(path))
        pages = first.get("n-pages") if first.get_typeof("n-pages") else 1
        smaller = (pyvips.Image.tiffload(str(path), page=page) for page in range(1, pages))
        return Pyramid(tuple((image.width, image.height) for image in (first, *smaller)))
    except pyvips.Error as error:
        raise ScanError("unreadable", f"the tiles can't be read ({last_line(error)})", permanent=True) from None


def tile(path: Path, level: int, column: int, row: int) -> bytes:
    """One tile of a pyramid as JPEG. Raises ScanError if there is no such tile."""
    try:
        image = pyvips.Image.tiffload(str(path), page=level)
        left, top = column * TILE_PIXELS, row * TILE_PIXELS
        width, height = min(TILE_PIXELS, image.width - left), min(TILE_PIXELS, image.height - top)
        if width <= 0 or height <= 0:
            raise ScanError("source_missing", "there is no such tile", permanent=True)
        content: bytes = image.crop(left, top, width, height).jpegsave_buffer(Q=_TILE_QUALITY, keep="none")
        return content
    except pyvips.Error as error:
        raise ScanError("unreadable", f"the tile can't be read ({last_line(error)})", permanent=True) from None


def _any_row_of(image: pyvips.Image, path: Path) -> pyvips.Image:
    """Rotation needs rows in any order, so the picture is first unpacked into a file."""
    unpacked = path.with_name(path.name + ".turn.v")
    image.vipssave(str(unpacked))
    return pyvips.Image.vipsload(str(unpacked))
