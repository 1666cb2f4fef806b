"""Reads size, depth and memory needs of a file's pages before they are decoded."""

from dataclasses import dataclass
from pathlib import Path

import pyvips

from worker.errors import ScanError
from worker.scans.formats.jp2 import reader
from worker.scans.formats.tiff.unpacked import unpacking_bytes, wants_unpacking
from worker.scans.reading.grey import output_bit_depth
from worker.scans.reading.loading import load_header
from worker.scans.reading.model_input import MODEL_INPUT_SIZE
from worker.scans.reading.panorama import MAX_COLOUR_SIDE, is_long
from worker.scans.reading.scan_file import ScanFile, ScanLimits, open_scan_file
from worker.scans.vips import SAMPLE_BYTES

HELD_BYTES = 96 << 20  # a scan's grey, and its colour image, are held whole up to this size; larger ones are streamed

_FIRST_ON_ITS_SIDE = 5  # of EXIF's eight orientations, this one and the later ones
_COEFFICIENT_BYTES = 2
_COLOUR_BYTES = 8  # a* and b* as float32
STRIP_BYTES = 32 << 20  # what strips, decoder and encoder take at least
# They hold several copies of this many rows of a wide picture's colours (measured with 20,000 to 300,000 pixels a row).
_STRIP_ROWS, _STRIP_COPIES = 384, 3


@dataclass(frozen=True, slots=True)
class ScanHeader:
    """The header of a page; width and height are those of the upright picture, in pixels.

    `decoded_bytes` estimates the memory that the page takes from opening until its output is written.
    """

    format: str  # jpeg, png, tiff, jp2 or webp
    width: int
    height: int
    bit_depth: int  # of the output: 8 or 16
    has_alpha: bool
    is_held: bool  # its grey is decoded once and kept; otherwise it is streamed from the file when needed
    decoded_bytes: int
    page: int = 0  # its number in a TIFF, in the order of the file
    is_on_its_side: bool = False  # rotated by 90 degrees in the file


def probe(path: Path, key: str, limits: ScanLimits) -> ScanHeader:
    """The header of the first page of the file at `path`. Raises ScanError as `open_scan_file` and `probe_pages` do."""
    return probe_pages(open_scan_file(path, key, limits), limits)[0]


def probe_pages(file: ScanFile, limits: ScanLimits) -> tuple[ScanHeader, ...]:
    """The headers of all pages; only TIFFs have several. Nothing is decoded.

    Raises ScanError: too_large (pixels of all pages), unsupported (unknown kinds of samples), unreadable.
    """
    headers: list[ScanHeader] = []
    pixels = 0
    for number in file.structure.pages:
        image = load_header(file, number)
        pixels += image.width * image.height
        if pixels > limits.max_pixels:
            raise _too_many_pixels(file.key, image, pixels, len(headers), limits)
        headers.append(_header_of(image, file, number))
    return tuple(headers)


def _too_many_pixels(key: str, image: pyvips.Image, pixels: int, before: int, limits: ScanLimits) -> ScanError:
    size = f"{image.width:,} x {image.height:,} pixels, {pixels:,} in all"
    if before:
        size = f"{pixels:,} pixels in its first {before + 1:,} pages"
    message = f"{key} has {size}; expected at most {limits.max_pixels:,} (PHOTOCHROM_MAX_SCAN_PIXELS)"
    return ScanError("too_large", message, permanent=True)


def _header_of(image: pyvips.Image, file: ScanFile, page: int) -> ScanHeader:
    depth, alpha = output_bit_depth(image, file.key), image.hasalpha()
    upright = image.autorot()
    sample_bytes = image.width * image.height * depth // 8
    grey_bytes, colour_bytes = sample_bytes * (1 + alpha), sample_bytes * (3 + alpha)
    held = [part for part in (grey_bytes, colour_bytes) if part <= HELD_BYTES]
    decoder = _decoder_bytes(image, file, page)
    return ScanHeader(
        format=file.format,
        width=upright.width,
        height=upright.height,
        bit_depth=depth,
        has_alpha=bool(alpha),
        is_held=grey_bytes <= HELD_BYTES,
        decoded_bytes=(
            sum(held) + decoder + file.metadata_bytes + _strip_bytes(upright, depth, alpha) + upsampled_bytes(upright)
        ),
        page=page,
        is_on_its_side=orientation_field(image) >= _FIRST_ON_ITS_SIDE,
    )


def _decoder_bytes(image: pyvips.Image, file: ScanFile, page: int) -> int:
    """The additional memory that decoding takes, in bytes."""
    tiff_page = file.tiff_page(page)
    if tiff_page and wants_unpacking(tiff_page):
        return unpacking_bytes(tiff_page)
    return reader.decoding_bytes(file.jp2_header) if file.format == "jp2" else _whole_bytes(image, file.format)


def _strip_bytes(upright: pyvips.Image, depth: int, alpha: bool) -> int:
    """The memory, in bytes, that strips, decoder and encoder take."""
    row_bytes = upright.width * (3 + alpha) * depth // 8
    return int(max(STRIP_BYTES, row_bytes * min(upright.height, _STRIP_ROWS) * _STRIP_COPIES))


def upsampled_bytes(upright: pyvips.Image) -> int:
    """The memory, in bytes, of the model's colours when they have the width of the picture but not yet its height: see
    writing.upsample.
    """
    rows = min(upright.height, MAX_COLOUR_SIDE if is_long(upright.width, upright.height) else MODEL_INPUT_SIZE)
    return int(_COLOUR_BYTES * upright.width * (rows if upright.height > upright.width else MODEL_INPUT_SIZE))


def _whole_bytes(image: pyvips.Image, format: str) -> int:
    """The additional memory for decoding a format that can't be decoded from top to bottom, in bytes."""
    sample_bytes = SAMPLE_BYTES[image.format]
    in_passes = any(image.get_typeof(name) and image.get(name) for name in ("interlaced", "jpeg-multiscan"))
    if in_passes and format == "jpeg":
        sample_bytes = _COEFFICIENT_BYTES  # libjpeg keeps all coefficients until the last pass is read
    held_turned = orientation_field(image) > 1 and image.width * image.height * sample_bytes <= HELD_BYTES
    copies = (in_passes or format == "webp") + held_turned
    return int(image.width * image.height * image.bands * sample_bytes * copies)


def orientation_field(image: pyvips.Image) -> int:
    """EXIF's number for the rotation of an image; 0 if the image is upright."""
    return int(image.get("orientation")) if image.get_typeof("orientation") else 0
