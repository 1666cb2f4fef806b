"""Opens scan files as libvips images, which are decoded lazily. Errors become ScanErrors."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyvips

from worker.colour.icc_reader import PROFILE_FIELD
from worker.scans.formats import webp
from worker.scans.formats.errors import EndsEarly, FormatError, LibraryError, UnsupportedKind
from worker.scans.formats.jp2 import reader as jp2_reader
from worker.scans.formats.jpeg.colour import profile_of_exif
from worker.scans.formats.png.colour import UnknownColour, profile_of_png
from worker.scans.formats.tiff import supported
from worker.scans.formats.tiff.page_view import load_page
from worker.scans.formats.tiff.planar import load_planes
from worker.scans.formats.tiff.supported import colours_and_alpha, fails_from, refuse_misread, wants_planes
from worker.scans.formats.tiff.unpacked import header_of_unpacked, load_unpacked, wants_unpacking
from worker.scans.reading.orientation import orientation_of_page
from worker.scans.reading.scan_file import ScanFile, truncated, unreadable, unsupported_kind
from worker.scans.reading.strictness import decoded, leave_out_long_metadata
from worker.scans.reading.zeros import refuse_holes
from worker.scans.vips import last_line

_LOADERS = {
    "jpeg": pyvips.Image.jpegload,
    "png": pyvips.Image.pngload,
    "webp": pyvips.Image.webpload,
}
_STRICT = ("jpeg", "tiff")  # formats whose decoders only warn of lost pixels; see reading.strictness
_ORIENTATION = "orientation"

# The messages of libvips and its libraries for sound files that they have no decoder for. A marker that libjpeg does
# not know means damage, except F7, which is JPEG-LS.
_UNSUPPORTED = re.compile(
    "out of range|unsupported(?! marker type 0x(?!f7))|not supported|not implemented|not configured"
    "|improper JPEG data precision",
    re.IGNORECASE,
)


def load(file: ScanFile, page: int = 0, *, is_header: bool = False, **options: object) -> pyvips.Image:
    """The page as a libvips image. Only its header is read now. Its pixels are read later, once, from top to bottom.

    The loader is always that of the file's format, never one that libvips chooses; `options` are for this loader. A
    JPEG 2000, or a TIFF of a kind that libvips can't read, is first unpacked into another file in the scan's folder;
    a TIFF is not if `is_header`, and then its pixels must not be read. The field `orientation` says how to rotate the
    page. Raises ScanError, pyvips.Error, FormatError: call it within `reading`.
    """
    image = _loaded(file, page, options, is_header).copy()
    orientation = orientation_of_page(file, page)
    if image.get_typeof(_ORIENTATION):
        image.remove(_ORIENTATION)
    if orientation > 1:
        image.set_type(pyvips.GValue.gint_type, _ORIENTATION, orientation)
    return image


def _loaded(file: ScanFile, page: int, options: dict[str, object], is_header: bool) -> pyvips.Image:
    if file.format == "jp2":
        unpacked = jp2_reader.unpack(file.path, file.key, file.jp2_header)
        return file.jp2_header.dress(pyvips.Image.tiffload(str(unpacked), access="sequential", fail_on="error"))
    if file.format == "tiff":
        return _tiff_page(file, page, is_header)
    fails_on = file.fails_on if file.format in _STRICT else "error"
    leave_out_long_metadata(file)
    image = _LOADERS[file.format](str(file.read_from), access="sequential", fail_on=fails_on, **options)
    if file.format == "jpeg":
        return _with_profile(image, profile_of_exif)
    if file.format == "png":
        return _with_profile(image, lambda image: profile_of_png(file.path, image.bands - image.hasalpha()))
    return image


def _tiff_page(file: ScanFile, number: int, is_header: bool) -> pyvips.Image:
    page = file.tiff_page(number)
    if page is None:
        raise FormatError("it has no directory")
    refuse_misread(page)
    if wants_unpacking(page) and is_header:
        image = header_of_unpacked(file.path, page)
    elif wants_unpacking(page):
        image = load_unpacked(file.path, page, file.beside(f"{number}.unpacked"))
    else:
        load_kind = load_planes if wants_planes(page) else load_page
        image = load_kind(file.path, page, fails_from(page, file.fails_on))
    return colours_and_alpha(image, page)


def _with_profile(image: pyvips.Image, profile_said: Callable[[pyvips.Image], bytes | None]) -> pyvips.Image:
    """A copy of the image with its own profile. If it has none, with a profile of the colours that the file names."""
    image = image.copy()
    if not image.get_typeof(PROFILE_FIELD) and (profile := profile_said(image)):
        image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, profile)
    return image


def load_header(file: ScanFile, page: int = 0) -> pyvips.Image:
    """An image for reading only the header: nothing is decoded. Raises ScanError."""
    with reading(file):
        if file.format != "jp2":
            return decoded(file, lambda: load(file, page, is_header=True))
        image = file.jp2_header.image()
        if (orientation := orientation_of_page(file, page)) > 1:
            image.set_type(pyvips.GValue.gint_type, _ORIENTATION, orientation)
        return image


def check_checksums(file: ScanFile, page: int = 0) -> None:
    """Check the checksums of packed pixels. Raises ScanError unreadable if one is wrong."""
    with reading(file):
        refuse_holes(file)
        if file.format == "webp":
            webp.refuse_hole(file.path)
    if tiff_page := file.tiff_page(page):
        with reading(file):
            supported.check_checksums(file.path, tiff_page)


@contextmanager
def reading(file: ScanFile) -> Iterator[None]:
    """Turns exceptions of reading into a ScanError: truncated, unsupported or unreadable."""
    try:
        yield
    except (pyvips.Error, FormatError, UnknownColour) as error:
        structure = file.structure
        if structure.is_cut or isinstance(error, EndsEarly):
            raise truncated(file.key, file.format, structure) from None
        if isinstance(error, UnsupportedKind | UnknownColour):
            raise unsupported_kind(file.key, file.format, str(error)) from None
        is_own = isinstance(error, FormatError) and not isinstance(error, LibraryError)
        words = str(error) if is_own else last_line(error).replace(str(file.read_from), file.key)
        if is_own:
            raise unreadable(file.key, file.format, words) from None
        if _UNSUPPORTED.search(words):
            raise unsupported_kind(file.key, file.format, words) from None
        raise unreadable(file.key, file.format, words) from None
