"""Tags as TIFF and EXIF keep them: numbers and typed values, in one byte order whatever the file's.

TIFF 6.0, section 2; BigTIFF, libtiff's design note; EXIF: CIPA DC-008, 4.6.
"""

import struct
from dataclasses import dataclass, field

EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER = 0x8769, 0x8825, 0xA005
SUB_PAGES = 330
MAKER_NOTE = 0x927C  # of the EXIF directory: bytes of which only the camera's maker knows the meaning
USER_COMMENT = 0x9286
COLOUR_SPACE = 0xA001
INTEROPERABILITY_INDEX = 1  # of the directory of that name

UNIT_BYTES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},  # BigTIFF's
    129: 1,  # EXIF 3.0's UTF-8
}
UNITS = {5: 2, 10: 2}  # of a value that is a fraction
LONG, LONG8 = 4, 16


class TagsError(ValueError):
    """The tags are not as TIFF keeps them."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a tag holds: TIFF's number of its type, and its bytes, little end first."""

    kind: int
    data: bytes

    @property
    def count(self) -> int:
        return len(self.data) // (UNIT_BYTES[self.kind] * UNITS.get(self.kind, 1))

    def number(self) -> int:
        """The first of whole numbers."""
        return int.from_bytes(self.data[: UNIT_BYTES[self.kind]], "little")

    def numbers(self) -> list[int]:
        """All whole numbers; of a fraction, first the one above its bar, then the one below."""
        unit = UNIT_BYTES[self.kind]
        return [int.from_bytes(self.data[at : at + unit], "little") for at in range(0, len(self.data), unit)]


Tags = dict[int, Value]


@dataclass(slots=True)
class Exif:
    """The four directories of EXIF, without the pointers between them.

    A maker's note may point to places counted from where the EXIF begins, in the byte order of the whole: so both are
    known, and kept where that can be. `note_at` is None where there is no such note.
    """

    main: Tags = field(default_factory=dict)
    exif: Tags = field(default_factory=dict)
    gps: Tags = field(default_factory=dict)
    interoperability: Tags = field(default_factory=dict)
    order: str = "<"  # as struct has it
    note_at: int | None = None

    def __bool__(self) -> bool:
        return any((self.main, self.exif, self.gps, self.interoperability))


def short(value: int) -> Value:
    return Value(3, struct.pack("<H", value))


def shorts(*values: int) -> Value:
    return Value(3, struct.pack(f"<{len(values)}H", *values))


def long(value: int) -> Value:
    return Value(LONG, struct.pack("<I", value))


def fraction(above: int, below: int) -> Value:
    return Value(5, struct.pack("<II", above, below))


def long8(*values: int) -> Value:
    """Numbers that only a BigTIFF has room for; into a classic TIFF they are written as longs."""
    return Value(LONG8, struct.pack(f"<{len(values)}Q", *values))


def in_order(kind: int, data: bytes, order: str) -> bytes:
    """Values turned from one byte order to the other, or left as they are."""
    unit = UNIT_BYTES[kind]
    if order == "<" or unit == 1:
        return data
    return b"".join(data[start : start + unit][::-1] for start in range(0, len(data), unit))
