"""libvips images of scan files: checked first, decoded lazily, its errors turned into ScanErrors."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyvips

from worker.colour.icc_reader import PROFILE_FIELD
from worker.errors import ScanError
from worker.scans.formats.integrity import MOST_TILES_ACROSS, Structure, read_structure
from worker.scans.formats.jp2 import reader
from worker.scans.formats.jpeg.colour import profile_of_exif
from worker.scans.formats.png.chunks import exif_of
from worker.scans.formats.png.colour import UnknownColour, profile_of_png
from worker.scans.formats.tiff import supported
from worker.scans.formats.tiff.ifd_reader import orientation_of
from worker.scans.formats.tiff.planar import load_planes
from worker.scans.formats.tiff.supported import colours_and_alpha, fail_on, refuse_misread, wants_planes
from worker.scans.formats.tiff.tags import TagsError
from worker.scans.vips import last_line

_LOAD = {
    "jpeg": pyvips.Image.jpegload,
    "png": pyvips.Image.pngload,
    "tiff": pyvips.Image.tiffload,
    "webp": pyvips.Image.webpload,
}

# How libvips and the libraries under it speak of sound files that they have no decoder for.
_UNSUPPORTED = re.compile(r"out of range|unsupported|not supported|not implemented|not configured", re.IGNORECASE)


def load(path: Path, key: str, format: str, page: int = 0, **options: object) -> pyvips.Image:
    """The scan as libvips sees it: nothing but its header is read yet, its pixels come from top to bottom, once.

    The loader is the one of `format`, never one that libvips would choose; `options` are that loader's. A JPEG 2000,
    and some TIFFs whose channels lie apart, are first written anew beside the scan.
    Raises ScanError.
    """
    with reading(path, key, format):
        # `error` fails on what is cut short or corrupt, not on mere warnings, which many a sound file earns.
        how = {"access": "sequential", "fail_on": "error", **options}
        if format == "jp2":
            unpacked = pyvips.Image.tiffload(str(reader.unpack(path, key)), **how)
            return reader.read_header(path, key).dress(unpacked)
        if format == "tiff" and (found := read_structure(path, format).tiff_pages.get(page)):
            refuse_misread(found)
            how |= {"page": page, "fail_on": fail_on(found)}
            image = load_planes(path, page) if wants_planes(found) else pyvips.Image.tiffload(str(path), **how)
            return colours_and_alpha(image, found)
        image = _LOAD[format](str(path), **how)
        if format == "jpeg":
            return _with_profile(image, profile_of_exif)
        return _as_its_png_says(image, path) if format == "png" else image


def _as_its_png_says(image: pyvips.Image, path: Path) -> pyvips.Image:
    """The image with what libvips does not read: most of what is said of colour, and EXIF's rarer places."""
    image = _with_profile(image, lambda each: profile_of_png(path, each.bands - each.hasalpha()))
    if not image.get_typeof("exif-data") and (turned := orientation_of(exif_of(path) or b"")):
        image.set_type(pyvips.GValue.gint_type, "orientation", turned)
    return image


def _with_profile(image: pyvips.Image, found_otherwise: Callable[[pyvips.Image], bytes | None]) -> pyvips.Image:
    """A copy with its own profile, or one that says what is said in another way."""
    image = image.copy()
    if not image.get_typeof(PROFILE_FIELD) and (profile := found_otherwise(image)):
        image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, profile)
    return image


def load_header(path: Path, key: str, format: str, page: int = 0) -> pyvips.Image:
    """An image of which only the header is to be asked: nothing is decoded for it. Raises ScanError."""
    if format == "jp2":
        with reading(path, key, format):
            return reader.read_header(path, key).image()
    return load(path, key, format, page)


def check_checksums(path: Path, key: str, format: str, page: int = 0) -> None:
    """Refuse a page whose packed pixels are not what they were packed from; raises ScanError unreadable."""
    if format == "tiff" and (found := read_structure(path, format).tiff_pages.get(page)):
        with reading(path, key, format):
            supported.check_checksums(path, found)


def check_structure(path: Path, key: str, format: str, *, max_pages: int) -> tuple[int, ...]:
    """The file's pages; refuses what is cut short, and what has too many, before anything is decoded."""
    structure = read_structure(path, format)
    if format != "jpeg" and structure.is_cut:  # a JPEG may hide its end before foreign bytes: decoding will tell
        raise _truncated(key, format, structure)
    if structure.damage:
        message = f"{key} is damaged ({structure.damage}); expected a whole {format.upper()}"
        raise ScanError("unreadable", message, permanent=True)
    if structure.frames > 1:
        message = f"{key} is a {format.upper()} of {structure.frames} frames; expected one"
        raise ScanError("unsupported", message, permanent=True)
    if structure.tiles_across > MOST_TILES_ACROSS:
        found = f"{structure.tiles_across:,} tiles beside each other"
        message = f"{key} has {found}; expected at most {MOST_TILES_ACROSS:,}: write it anew with larger tiles"
        raise ScanError("unsupported", message, permanent=True)
    if len(structure.pages) > max_pages:
        message = (
            f"{key} has {len(structure.pages):,} pages; expected at most {max_pages:,} (PHOTOCHROM_MAX_SCAN_PAGES)"
        )
        raise ScanError("too_large", message, permanent=True)
    return structure.pages


@contextmanager
def reading(path: Path, key: str, format: str) -> Iterator[None]:
    """Turn what libvips raises while a scan is read into a ScanError: truncated or unreadable."""
    try:
        yield
    except (pyvips.Error, TagsError, UnknownColour) as error:
        structure = read_structure(path, format)
        if structure.is_cut:
            raise _truncated(key, format, structure) from None
        said = last_line(error).replace(str(path), key)
        if _UNSUPPORTED.search(said):
            message = f"{key} is a {format.upper()} of a kind that can't be read ({said}); expected grey, RGB or CMYK"
            raise ScanError("unsupported", message, permanent=True) from None
        message = f"{key} is damaged ({said}); expected a whole {format.upper()}"
        raise ScanError("unreadable", message, permanent=True) from None


def _truncated(key: str, format: str, structure: Structure) -> ScanError:
    least = "" if format == "jpeg" else f" of at least {structure.expected_bytes:,} bytes"
    message = f"{key} ends after {structure.size_bytes:,} bytes; expected a whole {format.upper()}{least}"
    return ScanError("truncated", message, permanent=True)
