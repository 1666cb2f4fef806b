"""Look at a file before it is opened: format, size, pages, limits."""

from dataclasses import dataclass
from pathlib import Path

import pyvips

from worker.errors import ScanError
from worker.scans.format_names import EXPECTED, FIRST_BYTES, format_of_content
from worker.scans.formats.jp2 import reader
from worker.scans.reading.grey import output_bit_depth
from worker.scans.reading.loading import check_structure, load_header

HELD_BYTES = 96 << 20  # a scan's grey, and its colour image, are held whole up to this size; larger ones are streamed


_FIRST_ON_ITS_SIDE = 5  # of EXIF's eight orientations


_STRIP_BYTES = 32 << 20  # what strips, decoder and encoder take, whatever the scan


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """The largest file, and the most pixels (of all its pages) and pages, that are opened at all."""

    max_bytes: int
    max_pixels: int
    max_pages: int = 1000


@dataclass(frozen=True, slots=True)
class ScanHeader:
    """What a file says of itself before it is decoded; width and height of the upright picture, in pixels.

    `decoded_bytes` estimates the memory that the scan takes from being opened until its output is written.
    """

    format: str  # jpeg, png, tiff, jp2 or webp
    width: int
    height: int
    bit_depth: int  # of the output: 8 or 16
    has_alpha: bool
    is_held: bool  # its grey is decoded once and kept; otherwise it is streamed from the file when needed
    decoded_bytes: int
    page: int = 0  # of a TIFF, as they lie in the file
    is_on_its_side: bool = False  # in the file: what is across there is down in the upright picture


def probe(path: Path, key: str, limits: ScanLimits) -> ScanHeader:
    """What the file says of itself, or of its first page, nothing decoded; raises ScanError as `probe_pages` does."""
    return probe_pages(path, key, limits)[0]


def probe_pages(path: Path, key: str, limits: ScanLimits) -> tuple[ScanHeader, ...]:
    """What the file says of each of its pages, nothing decoded; one page, but for TIFFs.

    Raises ScanError: empty, too_large, truncated, unsupported (not a scan's format, unknown kinds of samples) or
    unreadable.
    """
    _check_bytes(path, key, limits)
    format = _format_of(path, key)
    numbers = check_structure(path, key, format, max_pages=limits.max_pages)
    headers: list[ScanHeader] = []
    pixels = 0
    for number in numbers:
        image = load_header(path, key, format, number)
        pixels += image.width * image.height
        if pixels > limits.max_pixels:
            raise _too_many_pixels(key, image, pixels, len(headers), limits)
        headers.append(_header_of(image, path, key, format, number))
    return tuple(headers)


def _too_many_pixels(key: str, image: pyvips.Image, pixels: int, before: int, limits: ScanLimits) -> ScanError:
    found = f"{image.width:,} x {image.height:,} pixels, {pixels:,} in all"
    if before:
        found = f"{pixels:,} pixels in its first {before + 1:,} pages"
    message = f"{key} has {found}; expected at most {limits.max_pixels:,} (PHOTOCHROM_MAX_SCAN_PIXELS)"
    return ScanError("too_large", message, permanent=True)


def _check_bytes(path: Path, key: str, limits: ScanLimits) -> None:
    size = path.stat().st_size
    if size == 0:
        raise ScanError("empty", f"{key} has 0 bytes; expected {EXPECTED}", permanent=True)
    if size > limits.max_bytes:
        message = f"{key} has {size:,} bytes; expected at most {limits.max_bytes:,} (PHOTOCHROM_MAX_SCAN_BYTES)"
        raise ScanError("too_large", message, permanent=True)


def _format_of(path: Path, key: str) -> str:
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
    format = format_of_content(first)
    if format is None:
        message = f"{key} begins with the bytes {first[:8].hex(' ')}; expected {EXPECTED}"
        raise ScanError("unsupported", message, permanent=True)
    return format


def _header_of(image: pyvips.Image, path: Path, key: str, format: str, page: int) -> ScanHeader:
    depth, alpha = output_bit_depth(image, key), image.hasalpha()
    upright = image.autorot()
    sample_bytes = image.width * image.height * depth // 8
    grey_bytes, colour_bytes = sample_bytes * (1 + alpha), sample_bytes * (3 + alpha)
    held = [part for part in (grey_bytes, colour_bytes) if part <= HELD_BYTES]
    beside = reader.decoding_bytes(path, key) if format == "jp2" else _whole_bytes(image, format)
    return ScanHeader(
        format=format,
        width=upright.width,
        height=upright.height,
        bit_depth=depth,
        has_alpha=bool(alpha),
        is_held=grey_bytes <= HELD_BYTES,
        decoded_bytes=sum(held) + beside + _STRIP_BYTES,
        page=page,
        is_on_its_side=_orientation(image) >= _FIRST_ON_ITS_SIDE,
    )


def _whole_bytes(image: pyvips.Image, format: str) -> int:
    """What decoding takes beside its result, where it can't go from top to bottom."""
    sample_bytes = {"uchar": 1, "ushort": 2, "float": 4}[image.format]
    in_passes = any(image.get_typeof(name) and image.get(name) for name in ("interlaced", "jpeg-multiscan"))
    held_turned = _is_turned(image) and image.width * image.height * sample_bytes <= HELD_BYTES
    copies = (in_passes or format == "webp") + held_turned
    return int(image.width * image.height * image.bands * sample_bytes * copies)


def _is_turned(image: pyvips.Image) -> bool:
    return _orientation(image) > 1


def _orientation(image: pyvips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 0
