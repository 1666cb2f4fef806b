"""The header that a TIFF stream begins with."""

import struct
import sys

from worker.scans.formats.tiff.ifd_writer import pack_directory
from worker.scans.formats.tiff.tags import Tag, Tags, long, long8, short, shorts
from worker.scans.geometry import Shape

_ORDER, _MARK = ("<", b"II+\0") if sys.byteorder == "little" else (">", b"MM\0+")
_DIRECTORY = 16  # the byte where it begins
_GREY, _RGB = 1, 2  # PhotometricInterpretation: grey whose 0 is black, RGB


def tiff_header(shape: Shape, rows: int) -> bytes:
    """The part of an uncompressed BigTIFF before its pixels. Strips of `rows` rows follow it without gaps.

    One or two bands are grey, three or four are RGB; an even number includes alpha.
    """
    starts = range(0, shape.bytes, rows * shape.row_bytes)
    tags: Tags = {
        Tag.IMAGE_WIDTH: long(shape.width),
        Tag.IMAGE_LENGTH: long(shape.height),
        Tag.BITS_PER_SAMPLE: shorts(*[shape.bit_depth] * shape.bands),
        Tag.COMPRESSION: short(1),
        Tag.PHOTOMETRIC: short(_RGB if shape.bands > 2 else _GREY),
        Tag.STRIP_OFFSETS: long8(*starts),
        Tag.SAMPLES_PER_PIXEL: short(shape.bands),
        Tag.ROWS_PER_STRIP: long(rows),
        Tag.STRIP_BYTE_COUNTS: long8(*(min(rows * shape.row_bytes, shape.bytes - start) for start in starts)),
        Tag.PLANAR_CONFIG: short(1),  # channels side by side
    }
    if shape.bands % 2 == 0:
        tags[Tag.EXTRA_SAMPLES] = short(2)  # alpha; the colours are not multiplied by it
    pixels_at = _DIRECTORY + len(pack_directory(tags, _DIRECTORY, _ORDER, big=True))
    tags[Tag.STRIP_OFFSETS] = long8(*(pixels_at + start for start in starts))
    head = _MARK + struct.pack(_ORDER + "HHQ", 8, 0, _DIRECTORY)
    return head + pack_directory(tags, _DIRECTORY, _ORDER, big=True)
