"""Tags as TIFF and EXIF keep them: directories of typed values, read from any byte order and written anew.

TIFF 6.0, section 2; BigTIFF, libtiff's design note; EXIF: CIPA DC-008, 4.6. An EXIF block is a little TIFF without
pixels.
"""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER = 0x8769, 0x8825, 0xA005

_UNIT_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNITS = {5: 2, 10: 2}  # of a value that is a fraction
_LONG = 4
_MOST_BYTES = 16 << 20  # of all values of a directory; more is hostile
_MOST_TAGS = 1000


class TagsError(ValueError):
    """The tags are not as TIFF keeps them."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a tag holds: TIFF's number of its type, and its bytes, little end first."""

    kind: int
    data: bytes

    @property
    def count(self) -> int:
        return len(self.data) // (_UNIT_BYTES[self.kind] * _UNITS.get(self.kind, 1))

    def number(self) -> int:
        """The first of whole numbers."""
        return int.from_bytes(self.data[: _UNIT_BYTES[self.kind]], "little")


Tags = dict[int, Value]


@dataclass(slots=True)
class Exif:
    """The four directories of EXIF, without the pointers between them."""

    main: Tags = field(default_factory=dict)
    exif: Tags = field(default_factory=dict)
    gps: Tags = field(default_factory=dict)
    interoperability: Tags = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any((self.main, self.exif, self.gps, self.interoperability))


def short(value: int) -> Value:
    return Value(3, struct.pack("<H", value))


def long(value: int) -> Value:
    return Value(_LONG, struct.pack("<I", value))


def read_exif(file: BinaryIO) -> Exif:
    """All tags of a TIFF file's first page, or of an EXIF block. Raises TagsError."""
    reader = _Reader(file)
    main = reader.directory(reader.first)
    exif = reader.below(main, EXIF_POINTER)
    return Exif(main, exif, reader.below(main, GPS_POINTER), reader.below(exif, INTEROPERABILITY_POINTER))


def exif_block(exif: Exif) -> bytes:
    """The tags as a TIFF without pixels, as JPEG and PNG hold them."""
    return b"II*\0" + struct.pack("<I", 8) + _pack_exif(exif, 8, "<", big=False)


def add_to_tiff(path: Path, exif: Exif) -> None:
    """Add tags to a TIFF file's first page; those it has already stay. Raises TagsError.

    A new directory at the file's end takes the place of the first one: no pixel is moved.
    """
    with path.open("r+b") as file:
        reader = _Reader(file)
        own, after = reader.directory(reader.first), reader.after(reader.first)
        at = file.seek(0, io.SEEK_END)
        file.write(b"\0" * (at % 2))
        at += at % 2
        merged = Exif({**exif.main, **own}, exif.exif, exif.gps, exif.interoperability)
        file.write(_pack_exif(merged, at, reader.order, big=reader.big, after=after))
        file.seek(8 if reader.big else 4)
        file.write(struct.pack(reader.order + reader.word, at))


def _pack_exif(exif: Exif, at: int, order: str, *, big: bool, after: int = 0) -> bytes:
    """The directories one behind the other, the first of them at `at` of the file."""
    main, sub = dict(exif.main), dict(exif.exif)
    pointers = [(main, GPS_POINTER, exif.gps), (sub, INTEROPERABILITY_POINTER, exif.interoperability)]
    if sub or exif.interoperability:
        pointers.insert(0, (main, EXIF_POINTER, sub))
    wanted = [pointer for pointer in pointers if pointer[2] or pointer[2] is sub]
    for tags, pointer, _ in wanted:
        tags[pointer] = long(0)  # its place is known once all lengths are
    place = at + len(_pack(main, at, order, big, after))
    for tags, pointer, below in wanted:
        tags[pointer] = long(place)
        place += len(_pack(below, place, order, big, 0))
    packed = _pack(main, at, order, big, after)
    for _, _, below in wanted:
        packed += _pack(below, at + len(packed), order, big, 0)
    return packed


def _pack(tags: Mapping[int, Value], at: int, order: str, big: bool, after: int) -> bytes:
    count_code, word = ("Q", "Q") if big else ("H", "I")
    room = struct.calcsize("<" + word)
    values_at = at + struct.calcsize("<" + count_code) + len(tags) * (4 + 2 * room) + room
    directory, outside = struct.pack(order + count_code, len(tags)), b""
    for tag, value in sorted(tags.items()):
        data = _ordered(value.kind, value.data, order)
        entry_field = data.ljust(room, b"\0")
        if len(data) > room:
            entry_field = struct.pack(order + word, values_at + len(outside))
            outside += data + b"\0" * (len(data) % 2)
        directory += struct.pack(order + "HH" + word, tag, value.kind, value.count) + entry_field
    return directory + struct.pack(order + word, after) + outside


def _ordered(kind: int, data: bytes, order: str) -> bytes:
    """Values turned from one byte order to the other, or left as they are."""
    unit = _UNIT_BYTES[kind]
    if order == "<" or unit == 1:
        return data
    return b"".join(data[start : start + unit][::-1] for start in range(0, len(data), unit))


class _Reader:
    """Directories of an open TIFF file, or EXIF block."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_BYTES
        head = self._read(0, 8)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self.order:
            raise TagsError(f"begins with {head[:2].hex()}")
        self.big = head[2:4] in (b"+\0", b"\0+")
        self.word = "Q" if self.big else "I"
        self.first = self._number(self.word, 8 if self.big else 4)

    def below(self, tags: Tags, pointer: int) -> Tags:
        """The directory that a tag points to, nothing where there is none; the tag is taken out."""
        place = tags.pop(pointer, None)
        return self.directory(place.number()) if place else {}

    def after(self, at: int) -> int:
        """Where the directory after the one at `at` begins; 0 for none."""
        start, count, entry_bytes = self._shape(at)
        return self._number(self.word, start + count * entry_bytes)

    def directory(self, at: int) -> Tags:
        start, count, entry_bytes = self._shape(at)
        if count > _MOST_TAGS:
            raise TagsError(f"has {count} tags")
        entries = self._read(start, count * entry_bytes)
        tags: Tags = {}
        for entry in (entries[place : place + entry_bytes] for place in range(0, len(entries), entry_bytes)):
            tag, kind, number = struct.unpack_from(f"{self.order}HH{self.word}", entry)
            if kind in _UNIT_BYTES:
                tags[tag] = Value(kind, self._value(entry, kind, number))
        return tags

    def _shape(self, at: int) -> tuple[int, int, int]:
        """Where the entries begin, how many there are, and the bytes of each."""
        count = self._number("Q" if self.big else "H", at)
        return (at + 8, count, 20) if self.big else (at + 2, count, 12)

    def _value(self, entry: bytes, kind: int, number: int) -> bytes:
        length = number * _UNIT_BYTES[kind] * _UNITS.get(kind, 1)
        room = struct.calcsize("<" + self.word)
        data = entry[-room:][:length]
        if length > room:
            self._left -= length
            if self._left < 0:
                raise TagsError(f"has more than {_MOST_BYTES:,} bytes")
            data = self._read(struct.unpack(self.order + self.word, entry[-room:])[0], length)
        return _ordered(kind, data, self.order)

    def _number(self, code: str, at: int) -> int:
        return int(struct.unpack(self.order + code, self._read(at, struct.calcsize("<" + code)))[0])

    def _read(self, at: int, length: int) -> bytes:
        try:
            self._file.seek(at)
            data = self._file.read(length)
        except (OSError, OverflowError, ValueError) as error:
            raise TagsError(str(error)) from None
        if len(data) < length:
            raise TagsError("ends early")
        return data
