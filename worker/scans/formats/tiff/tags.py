"""Tags of TIFF and EXIF: numbers and typed values, always in little-endian order, whatever the file's order is.

TIFF 6.0, section 2 and appendix A; BigTIFF, libtiff's design note; EXIF: CIPA DC-008, 4.6.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from worker.scans.formats.errors import FormatError


class Tag(IntEnum):
    """The numbers of those tags of TIFF and EXIF that Photochrom uses."""

    INTEROPERABILITY_INDEX = 1  # in the interoperability directory
    NEW_SUBFILE_TYPE = 254
    SUBFILE_TYPE = 255
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    IMAGE_DESCRIPTION = 270
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANAR_CONFIG = 284
    T4_OPTIONS = 292
    T6_OPTIONS = 293
    RESOLUTION_UNIT = 296
    PAGE_NUMBER = 297
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    SUB_IFDS = 330
    INK_SET = 332
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    YCBCR_COEFFICIENTS = 529
    YCBCR_SUBSAMPLING = 530
    YCBCR_POSITIONING = 531
    REFERENCE_BLACK_WHITE = 532
    XMP = 700
    IPTC = 33723
    UIC2 = 33629  # MetaMorph's; it has one value for each picture
    PHOTOSHOP_RESOURCES = 34377
    ICC_PROFILE = 34675
    EXIF_IFD = 0x8769
    GPS_IFD = 0x8825
    PHOTOSHOP_LAYERS = 37724
    MAKER_NOTE = 0x927C  # bytes of which only the camera's maker knows the meaning
    USER_COMMENT = 0x9286
    COLOR_SPACE = 0xA001
    PIXEL_X_DIMENSION = 0xA002
    PIXEL_Y_DIMENSION = 0xA003
    INTEROPERABILITY_IFD = 0xA005


UNIT_BYTES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},  # BigTIFF's
    129: 1,  # EXIF 3.0's UTF-8
}
UNITS = {5: 2, 10: 2}  # a fraction consists of two numbers
BYTE, SHORT, LONG, FRACTION, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16  # TIFF's types


class TagsError(FormatError):
    """The tags break the rules of TIFF."""


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a tag: TIFF's number of its type, and its bytes in little-endian order."""

    field_type: int
    data: bytes

    @property
    def count(self) -> int:
        return len(self.data) // (UNIT_BYTES[self.field_type] * UNITS.get(self.field_type, 1))

    def number(self) -> int:
        """The first of the whole numbers."""
        return int.from_bytes(self.data[: UNIT_BYTES[self.field_type]], "little")

    def numbers(self) -> list[int]:
        """All whole numbers; for a fraction, first its numerator and then its denominator."""
        unit = UNIT_BYTES[self.field_type]
        return [int.from_bytes(self.data[place : place + unit], "little") for place in range(0, len(self.data), unit)]


Tags = dict[int, Value]


@dataclass(slots=True)
class Exif:
    """The four directories of EXIF, without the pointers between them.

    A maker's note may use places that are counted from the beginning of the EXIF block, in the byte order of the block.
    So both are recorded and, if possible, kept. `note_at` is None if there is no such note. `lost` names what is
    damaged.
    """

    main: Tags = field(default_factory=dict)
    exif: Tags = field(default_factory=dict)
    gps: Tags = field(default_factory=dict)
    interoperability: Tags = field(default_factory=dict)
    order: str = "<"  # byte order, as in the module struct
    note_at: int | None = None
    lost: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.main, self.exif, self.gps, self.interoperability))


def short(value: int) -> Value:
    return Value(SHORT, struct.pack("<H", value))


def shorts(*values: int) -> Value:
    return Value(SHORT, struct.pack(f"<{len(values)}H", *values))


def long(value: int) -> Value:
    return Value(LONG, struct.pack("<I", value))


def fraction(above: int, below: int) -> Value:
    return Value(FRACTION, struct.pack("<II", above, below))


def long8(*values: int) -> Value:
    """Numbers of 8 bytes, which only a BigTIFF can hold. In a classic TIFF they are written as longs."""
    return Value(LONG8, struct.pack(f"<{len(values)}Q", *values))


def in_order(field_type: int, data: bytes, order: str) -> bytes:
    """The values, converted between little-endian order and the byte order `order`."""
    unit = UNIT_BYTES.get(field_type, 1)
    if order == "<" or unit == 1:
        return data
    return np.frombuffer(data[: len(data) // unit * unit], f"u{unit}").byteswap().tobytes()
