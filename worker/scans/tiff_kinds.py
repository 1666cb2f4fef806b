"""TIFF pages that libvips would read wrong without a word: refused, or read more strictly."""

import zlib
from pathlib import Path

import pyvips

from worker.scans.tiff_structure import ASSOCIATED_ALPHA, DEFLATES, FLOATS, JPEG, LAB, MINISWHITE, YCBCR, TiffPage

_DEPTHS = (1, 2, 4, 8, 16, 32, 64)
_AT_ONCE = 1 << 18  # bytes that are unpacked at once
_TIMES_TOO_MANY = 2  # what is padded, and has its checksum behind that, is no damage yet


def refuse_misread(page: TiffPage) -> None:
    """Raises pyvips.Error, with the word unsupported, for pixels that libvips would take for others."""
    found = ""
    if page.bits not in _DEPTHS:
        found = f"samples of {page.bits} bits"
    elif page.photometric == YCBCR and page.compression != JPEG:
        found = f"YCbCr in compression {page.compression}, which is read in JPEG alone"
    elif page.photometric == LAB:
        found = "CIE Lab"
    elif page.photometric == MINISWHITE and page.sample_format == FLOATS:
        found = "floats whose 0 is white"
    elif page.is_planar and page.is_tiled and page.extra_samples[:1] == (ASSOCIATED_ALPHA,):
        found = "colours multiplied by alpha, in tiles for each channel"
    if found:
        raise pyvips.Error(f"unsupported: {found}")


def fail_on(page: TiffPage) -> str:
    """From which of libvips' levels on reading is to fail.

    On `error`, a tile that can't be decoded comes out black (libvips 8.18). JPEG tiles do fail on it, and on `warning`
    they would do so for odd bytes too that do no harm.
    """
    return "warning" if page.is_tiled and page.compression != JPEG else "error"


def check_checksums(path: Path, page: TiffPage) -> None:
    """Hold strips and tiles that are packed by deflate against their checksums, which libtiff never reads.

    Raises pyvips.Error. Those that only lack a checksum are left to libtiff.
    """
    if page.compression not in DEFLATES:
        return
    with path.open("rb") as file:
        for start, length in zip(*(numbers.tolist() for numbers in page.pieces), strict=True):
            file.seek(int(start))
            try:
                _unpack(file.read(int(length)), page.piece_bytes)
            except zlib.error as error:
                raise pyvips.Error(f"the pixels packed from byte {start:.0f} on: {error}") from None


def _unpack(data: bytes, expected: int) -> None:
    """Unpack to the end, where the checksum is; raises zlib.error."""
    packed, unpacked, most = zlib.decompressobj(), 0, _TIMES_TOO_MANY * expected + _AT_ONCE
    while data and not packed.eof and unpacked <= most:
        unpacked += len(packed.decompress(data, _AT_ONCE))
        data = packed.unconsumed_tail
    if unpacked > expected and not packed.eof:
        raise zlib.error(f"more than {expected:,} bytes of pixels")
