"""A scan file opened: refused where it must be, else its pixels as sRGB grey in strips, and as the model's square."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips

from worker.arrays import Pixels
from worker.errors import ScanError
from worker.scans.border import find_picture, scaled
from worker.scans.format_names import EXPECTED, FIRST_BYTES, format_of_content
from worker.scans.formats.jp2 import reader
from worker.scans.geometry import Box
from worker.scans.grey import check_floats, output_bit_depth, to_grey
from worker.scans.loading import check_checksums, check_structure, load, load_header, reading
from worker.scans.square import SQUARE_SIZE, Square, box_in_square, fit, make_square

HELD_BYTES = 96 << 20  # a scan's grey, and its colour image, are held whole up to this size; larger ones are streamed
STREAM_BLOCK_BYTES = 4 << 20  # what is decoded at once of a streamed scan
_BORDER_SIDE = 1024  # pixels; a streamed scan's borders are looked for in a copy of this size
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


class Scan:
    """An open scan, or one of its pages: its header, and its pixels as sRGB grey of its own lightness, upright."""

    def __init__(self, key: str, path: Path, header: ScanHeader) -> None:
        self.key, self.path, self.header = key, path, header
        self.width, self.height = header.width, header.height
        self.bit_depth, self.format = header.bit_depth, header.format
        self.decoded_bytes = header.decoded_bytes
        self._floats_checked = False
        check_checksums(path, key, header.format, header.page)
        self._held = self._decode() if header.is_held else None  # (height, width, 1 or 2)

    def square(self, size: int = SQUARE_SIZE, picture: Box | None = None) -> Square:
        """The scan, or the picture in it, as the model sees it.

        Raises ScanError where a streamed scan turns out to be damaged.
        """
        part = picture or Box(0, 0, self.width, self.height)
        box = box_in_square(part.width, part.height, size)
        return make_square(self._reduced(part, box), box, size, picture)

    def find_picture(self) -> Box | None:
        """Where the picture lies within film borders; None where there are none to be sure of.

        Raises ScanError where a streamed scan turns out to be damaged.
        """
        if self._held is not None:
            return find_picture(self._held[..., 0])
        box = box_in_square(self.width, self.height, _BORDER_SIDE)
        found = find_picture(self._reduced(Box(0, 0, self.width, self.height), box))
        return scaled(found, self.width / box.width, self.height / box.height) if found else None

    def _reduced(self, part: Box, box: Box) -> Pixels:
        """Grey of a part of the scan at the size of the box."""
        if self._held is not None:
            held = self._held[part.top : part.top + part.height, part.left : part.left + part.width, 0]
            return fit(held, box)
        with reading(self.path, self.key, self.format):
            grey = self._image()[0].crop(part.left, part.top, part.width, part.height)
            small = grey.thumbnail_image(box.width, height=box.height, size="force", no_rotate=True)
            return _array(small.write_to_memory(), small)[..., 0]

    def strips(self, rows: int) -> Iterator[Pixels]:
        """The pixels from top to bottom as uint8 or uint16 (at most `rows`, width, 1 or 2): grey, then alpha.

        Raises ScanError where a streamed scan turns out to be damaged.
        """
        blocks = self._blocks(rows) if self._held is None else iter([self._held])
        for block in blocks:
            for top in range(0, len(block), rows):
                yield block[top : top + rows]

    def discard(self) -> None:
        """Remove what was written beside the scan while this page of it was read."""
        for path in self.path.parent.glob(f"{self.path.name}.{self.header.page}.*"):
            path.unlink()

    def header_image(self) -> pyvips.Image:
        """The scan's header as an upright image whose pixels are not to be read: for its resolution."""
        with reading(self.path, self.key, self.format):
            image = load_header(self.path, self.key, self.format, self.header.page)
            # libvips turns the pixels, and leaves the resolution as it was.
            turned = image.copy(xres=image.yres, yres=image.xres) if self.header.is_on_its_side else image
            return turned.autorot()

    def _blocks(self, rows: int) -> Iterator[Pixels]:
        """Blocks of whole strips, decoded as they are asked for."""
        row_bytes = self.width * (1 + self.header.has_alpha) * self.bit_depth // 8
        block_rows = rows * max(1, STREAM_BLOCK_BYTES // (rows * row_bytes))
        with reading(self.path, self.key, self.format):
            image = self._image()
            region = pyvips.Region.new(image)
            for top in range(0, self.height, block_rows):
                height = min(block_rows, self.height - top)
                yield _array(region.fetch(0, top, self.width, height), image)

    def _decode(self) -> Pixels:
        with reading(self.path, self.key, self.format):
            image = self._image()
            return _array(image.write_to_memory(), image)

    def _image(self) -> pyvips.Image:
        image = self._load()
        if image.format == "float" and not self._floats_checked:
            check_floats(image, self.key)
            self._floats_checked, image = True, self._load()
        grey = to_grey(image, self.key)
        # Turning needs any row at any time; a file gives them from top to bottom.
        return self._any_row_of(grey).autorot() if _is_turned(image) else grey

    def _load(self) -> pyvips.Image:
        return load(self.path, self.key, self.format, self.header.page)

    def _any_row_of(self, grey: pyvips.Image) -> pyvips.Image:
        """The same image in memory, or where it is too large for that, in the scratch folder."""
        if self.header.is_held:
            return grey.copy_memory()
        path = self.path.with_name(f"{self.path.name}.{self.header.page}.grey.v")
        if not path.exists():
            part = path.with_name(path.name + ".part.v")
            grey.vipssave(str(part))
            part.replace(path)
        return pyvips.Image.vipsload(str(path))


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


def open_scan(path: Path, key: str, limits: ScanLimits) -> Scan:
    """Open the scan, or its first page, at `path`, which must stay there until its output is written.

    Messages name `key` alone.

    Raises ScanError as `probe` does, and where the pixels turn out to be cut short (truncated) or damaged
    (unreadable).
    """
    return Scan(key, path, probe(path, key, limits))


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


def _array(buffer: bytes, image: pyvips.Image) -> Pixels:
    """libvips' memory as uint8 or uint16 (height, width, bands), not copied."""
    shape = (-1, image.width, image.bands)
    if image.format == "uchar":
        return np.frombuffer(buffer, np.uint8).reshape(shape)
    return np.frombuffer(buffer, np.uint16).reshape(shape)
