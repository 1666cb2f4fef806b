"""Finds TIFF pages that libvips reads wrongly without a warning. They are refused, or read in another way."""

import zlib
from pathlib import Path

import pyvips

from worker.scans.formats.errors import FormatError, UnsupportedKind
from worker.scans.formats.tiff.layout import (
    ASSOCIATED_ALPHA,
    CMYK,
    DEFLATES,
    FLOATS,
    JPEG,
    LABS,
    LOGLUVS,
    MASK,
    MINISBLACK,
    MINISWHITE,
    NOT_STATED,
    OLD_JPEG,
    OTHER_INKS,
    YCBCR,
    TiffPage,
    alpha_among,
    read_pieces,
)
from worker.scans.formats.tiff.unpacked import wants_unpacking

_DEPTHS = (1, 2, 4, 8, 16, 32, 64)
_AT_ONCE = 1 << 18  # bytes that are unpacked in one step
_MAX_TIMES = 2  # of the expected size: padding before the checksum is no damage


def refuse_misread(page: TiffPage) -> None:
    """Raises UnsupportedKind for a kind of pixels that libvips would misread and that is not unpacked for it."""
    reason, is_unpacked = "", wants_unpacking(page)
    if page.bits not in _DEPTHS and not is_unpacked:
        reason = f"samples of {page.bits} bits"
    elif page.compression == OLD_JPEG:
        reason = "old-style JPEG, which TIFF has replaced"
    elif page.bits < 8 and page.samples > 1 and not is_unpacked:
        reason = f"{page.samples} channels of {page.bits} bits"
    elif page.is_reduced and page.has_pages_below:
        reason = "a small copy alone, its picture below it, as raw photographs have it"
    elif page.photometric == NOT_STATED:
        reason = "no PhotometricInterpretation, which says whether 0 is black or white"
    elif page.photometric == MASK:
        reason = "a transparency mask"
    elif page.photometric in LOGLUVS:
        reason = "LogLuv"
    elif page.photometric == CMYK and (page.inks == OTHER_INKS or _others(page)):
        reason = "other inks than CMYK's"
    elif page.photometric == YCBCR and page.compression != JPEG and not is_unpacked:
        reason = f"YCbCr of {page.samples} channels of {page.bits} bits in compression {page.compression}"
    elif page.photometric in LABS and not is_unpacked:
        reason = f"CIE Lab of {page.samples} channels of {page.bits} bits in compression {page.compression}"
    elif page.photometric == MINISWHITE and page.sample_format == FLOATS:
        reason = "floats whose 0 is white"
    elif page.photometric == MINISBLACK and page.sample_format == FLOATS and _is_multiplied(page):
        reason = "grey floats multiplied by alpha"
    elif page.bits == 32 and page.sample_format != FLOATS and _is_multiplied(page):
        reason = "integers of 32 bits multiplied by alpha"
    if reason:
        raise UnsupportedKind(reason)


def wants_planes(page: TiffPage) -> bool:
    """Whether the channels are separate in a way that libvips (8.18) can't read, or in which it mixes up rows."""
    mixed_up = page.photometric in (MINISWHITE, MINISBLACK) or (page.bits == 16 and page.sample_format == FLOATS)
    return page.is_planar and (page.is_tiled or mixed_up)


def colours_and_alpha(image: pyvips.Image, page: TiffPage) -> pyvips.Image:
    """The page's image without channels that are neither colour nor alpha, such as infrared or a saved selection."""
    other_channels = _others(page)
    if not other_channels:
        return image
    colours, alpha = image.bands - len(page.extra_samples), alpha_among(page.extra_samples)
    if colours < 1 or other_channels > colours:  # in a picture of many spectral bands, none is its grey
        raise UnsupportedKind(f"{image.bands} channels, {other_channels} of them neither colour nor alpha")
    colour_bands = image.extract_band(0, n=colours)
    return colour_bands if alpha is None else colour_bands.bandjoin(image[colours + alpha])


def _is_multiplied(page: TiffPage) -> bool:
    return ASSOCIATED_ALPHA in page.extra_samples and not wants_planes(page)


def _others(page: TiffPage) -> int:
    """The number of the page's channels that are neither colour nor alpha."""
    return len(page.extra_samples) - (alpha_among(page.extra_samples) is not None)


def fails_from(page: TiffPage, of_strips_of_jpeg: str) -> str:
    """The level of libvips' messages from which on reading fails.

    Most warnings are about unusual tags and are harmless. But with `error`, a tile that can't be decoded becomes black
    (libvips 8.18), unless it is JPEG. And for lost pixels in strips of JPEG there is only a warning; reading.strictness
    decides which warnings are harmless.
    """
    if page.compression == JPEG:
        return "error" if page.is_tiled else of_strips_of_jpeg
    return "warning" if page.is_tiled else "error"


def check_checksums(path: Path, page: TiffPage) -> None:
    """Compare strips and tiles that are packed by deflate with their checksums, which libtiff never reads.

    Raises FormatError. If only the checksum is missing, libtiff decides.
    """
    if page.compression not in DEFLATES:
        return
    with path.open("rb") as file:
        pieces = read_pieces(file, page)
        for start, length in zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True):
            file.seek(int(start))
            try:
                _unpack(file.read(int(length)), page.piece_bytes)
            except zlib.error as error:
                raise FormatError(f"the pixels packed from byte {start:.0f} on: {error}") from None


def _unpack(data: bytes, expected: int) -> None:
    """Unpack to the end, where the checksum is; raises zlib.error."""
    packed, unpacked, limit = zlib.decompressobj(), 0, _MAX_TIMES * expected + _AT_ONCE
    while data and not packed.eof and unpacked <= limit:
        unpacked += len(packed.decompress(data, _AT_ONCE))
        data = packed.unconsumed_tail
    if unpacked > expected and not packed.eof:
        raise zlib.error(f"more than {expected:,} bytes of pixels")
