"""A scan's file, whose structure is read once: its format, its pages, and how strictly to read it."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from worker.errors import ScanError
from worker.scans.format_names import EXPECTED, FIRST_BYTES, format_of_content
from worker.scans.formats.integrity import MAX_TILES_ACROSS, Structure, read_structure
from worker.scans.formats.jp2.reader import Jp2Header, read_header
from worker.scans.formats.tiff.layout import TiffPage


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Limits for files: bytes, pixels of all pages together, and pages. Larger files are refused."""

    max_bytes: int
    max_pixels: int
    max_pages: int = 1000


@dataclass
class ScanFile:
    """A file that is complete as far as its structure says. It is passed to everything that reads the scan.

    `key` is its name in messages. The file must stay at `path` while it is read. Temporary files beside it have names
    that begin with its name.
    """

    path: Path
    key: str
    format: str  # jpeg, png, tiff, jp2 or webp
    structure: Structure
    # How strictly pixels are read: see reading.strictness.
    fails_on: str = "warning"
    read_from: Path = field(default_factory=Path)
    has_checked_length: bool = False  # of its metadata
    orientations: dict[int, int] = field(default_factory=dict)  # by page, once they are known
    metadata_bytes: int = 0  # the memory that reading EXIF and XMP takes, once the orientation is known

    def __post_init__(self) -> None:
        self.read_from = self.path

    @cached_property
    def jp2_header(self) -> Jp2Header:
        """The header of a JPEG 2000. Raises ScanError."""
        return read_header(self.path, self.key)

    def tiff_page(self, number: int) -> TiffPage | None:
        """The page of a TIFF with this number, in the order of the file."""
        return self.structure.tiff_pages.get(number)

    def beside(self, suffix: str) -> Path:
        """The path of a temporary file in the scan's folder."""
        return self.path.with_name(f"{self.path.name}.{suffix}")


def open_scan_file(path: Path, key: str, limits: ScanLimits) -> ScanFile:
    """Read the file's structure. Nothing is decoded.

    Raises ScanError: empty, too_large (bytes, pages), truncated, unreadable, or unsupported (not a format of scans).
    """
    _check_bytes(path, key, limits)
    format = _format_of(path, key)
    structure = read_structure(path, format)
    _check_structure(structure, key, format)
    if len(structure.pages) > limits.max_pages:
        pages = f"{len(structure.pages):,} pages; expected at most {limits.max_pages:,}"
        raise ScanError("too_large", f"{key} has {pages} (PHOTOCHROM_MAX_SCAN_PAGES)", permanent=True)
    return ScanFile(path, key, format, structure)


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


def _check_structure(structure: Structure, key: str, format: str) -> None:
    """Raises ScanError if the file is cut short or damaged, or if a page has more than one picture."""
    # Other bytes may follow a JPEG's end and hide it. Then decoding shows whether the JPEG is complete.
    if format != "jpeg" and structure.is_cut:
        raise truncated(key, format, structure)
    if structure.damage:
        raise unreadable(key, format, structure.damage)
    if structure.unsupported:
        raise unsupported_kind(key, format, structure.unsupported)
    if structure.frames > 1:
        message = f"{key} is a {format.upper()} of {structure.frames} frames; expected one"
        raise ScanError("unsupported", message, permanent=True)
    if structure.tiles_across > MAX_TILES_ACROSS:
        tiles = f"{structure.tiles_across:,} tiles beside each other"
        message = f"{key} has {tiles}; expected at most {MAX_TILES_ACROSS:,}: save it again with larger tiles"
        raise ScanError("unsupported", message, permanent=True)


def truncated(key: str, format: str, structure: Structure) -> ScanError:
    """The error of a file that is cut short."""
    minimum = "" if format == "jpeg" else f" of at least {structure.expected_bytes:,} bytes"
    message = f"{key} ends after {structure.size_bytes:,} bytes; expected a whole {format.upper()}{minimum}"
    return ScanError("truncated", message, permanent=True)


def unreadable(key: str, format: str, damage: str) -> ScanError:
    """The error of a file that is damaged."""
    return ScanError("unreadable", f"{key} is damaged ({damage}); expected a whole {format.upper()}", permanent=True)


def unsupported_kind(key: str, format: str, reason: str) -> ScanError:
    """The error of a file that is sound, but of a kind that is not read."""
    message = f"{key} is a {format.upper()} of a kind that can't be read ({reason}); expected grey, RGB or CMYK"
    return ScanError("unsupported", message, permanent=True)
