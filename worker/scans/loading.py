"""libvips images of scan files: checked first, decoded lazily, its errors turned into ScanErrors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyvips

from worker.errors import ScanError
from worker.scans.libraries import last_line
from worker.scans.structure import Structure, read_structure

_LOAD = {"jpeg": pyvips.Image.jpegload, "png": pyvips.Image.pngload, "tiff": pyvips.Image.tiffload}

# How libvips and the libraries under it speak of sound files that they have no decoder for.
_UNSUPPORTED = re.compile(r"out of range|unsupported|not supported|not implemented|not configured", re.IGNORECASE)


def load(path: Path, key: str, format: str, **options: object) -> pyvips.Image:
    """The scan as libvips sees it: nothing but its header is read yet, its pixels come from top to bottom, once.

    The loader is the one of `format`, never one that libvips would choose; `options` are that loader's.
    Raises ScanError.
    """
    with reading(path, key, format):
        # `error` fails on what is cut short or corrupt, not on mere warnings, which many a sound file earns.
        return _LOAD[format](str(path), access="sequential", fail_on="error", **options)


def check_structure(path: Path, key: str, format: str) -> None:
    """Refuse what is cut short, and what has several pages, before anything is decoded."""
    structure = read_structure(path, format)
    if format != "jpeg" and structure.is_cut:  # a JPEG may hide its end before foreign bytes: decoding will tell
        raise _truncated(key, format, structure)
    if structure.pages > 1:
        message = f"{key} has {structure.pages} pages; expected one (split it into files of one page each)"
        raise ScanError("unsupported", message, permanent=True)


@contextmanager
def reading(path: Path, key: str, format: str) -> Iterator[None]:
    """Turn what libvips raises while a scan is read into a ScanError: truncated or unreadable."""
    try:
        yield
    except pyvips.Error as error:
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
