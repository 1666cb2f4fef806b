"""Tags as TIFF and EXIF keep them: directories of typed values, read from any byte order and written anew.

TIFF 6.0, section 2; BigTIFF, libtiff's design note; EXIF: CIPA DC-008, 4.6. An EXIF block is a little TIFF without
pixels.
"""

import io
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER = 0x8769, 0x8825, 0xA005
SUB_PAGES = 330

_UNIT_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNITS = {5: 2, 10: 2}  # of a value that is a fraction
_LONG, _LONG8 = 4, 16
_MOST_BYTES = 16 << 20  # of all values together; what goes beyond, such as Photoshop's layers, is not read
_MOST_TAGS = 1000
_MOST_PAGES = 100_000
_PIXELS_AT = 273, 324  # offsets of strips, of tiles
_PIXELS = {*_PIXELS_AT, 279, 325}  # and their lengths


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

    def numbers(self) -> list[int]:
        """All whole numbers; of a fraction, first the one above its bar, then the one below."""
        unit = _UNIT_BYTES[self.kind]
        return [int.from_bytes(self.data[at : at + unit], "little") for at in range(0, len(self.data), unit)]


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


def shorts(*values: int) -> Value:
    return Value(3, struct.pack(f"<{len(values)}H", *values))


def long(value: int) -> Value:
    return Value(_LONG, struct.pack("<I", value))


def fraction(above: int, below: int) -> Value:
    return Value(5, struct.pack("<II", above, below))


def long8(*values: int) -> Value:
    """Numbers that only a BigTIFF has room for; into a classic TIFF they are written as longs."""
    return Value(_LONG8, struct.pack(f"<{len(values)}Q", *values))


def read_exif(file: BinaryIO, page: int = 0) -> Exif:
    """All tags of a TIFF file's page, its directories counted from 0, or of an EXIF block. Raises TagsError.

    A tag that is too long to be read comes empty.
    """
    reader = _Reader(file)
    at = reader.first
    for _ in range(page):
        at = reader.after(at)
    main = reader.directory(at)
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
        merged = Exif({**exif.main, **own}, exif.exif, exif.gps, exif.interoperability)
        reader.append(merged, reader.first_link, after=after)


def replace_pages(path: Path, pages: Sequence[Tags]) -> None:
    """Give a TIFF file other pages, in directories at its end. Raises TagsError."""
    with path.open("r+b") as file:
        reader = _Reader(file)
        link = reader.first_link
        for page in pages:
            link = reader.append(Exif(page), link)


def begin_tiff(path: Path, like: Path, *, big: bool) -> None:
    """Make a TIFF file without pages, in the byte order of another one; `big`: one that may pass 4 GB."""
    with like.open("rb") as file:
        order = _Reader(file).order
    mark = b"II" if order == "<" else b"MM"
    path.write_bytes(mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)))


def add_page(path: Path, part: Path, tags: Tags) -> None:
    """Add the first page of the TIFF file `part`, with its smaller copies below it, as the last page of another one.

    `tags` take the place of that page's own. Raises TagsError.
    """
    with path.open("r+b") as file, part.open("rb") as source:
        own, reader = _Reader(source), _Reader(file)
        exif = read_exif(source)
        shift = file.seek(0, io.SEEK_END)
        shift += file.write(bytes(-shift % 16))
        source.seek(0)
        shutil.copyfileobj(source, file, 1 << 20)
        if SUB_PAGES in exif.main:
            below = [own.directory(place) for place in exif.main[SUB_PAGES].numbers()]
            places = [reader.append_alone(_moved(each, shift)) for each in below]
            exif.main[SUB_PAGES] = long8(*places)
        exif.main = _moved(exif.main, shift) | tags
        reader.append(exif, reader.last_link())


def _moved(page: Tags, shift: int) -> Tags:
    """A directory whose pixels lie `shift` bytes further on."""
    moved = {tag: long8(*(each + shift for each in page[tag].numbers())) for tag in _PIXELS_AT if tag in page}
    return page | moved


def _pack_exif(exif: Exif, at: int, order: str, *, big: bool, after: int = 0) -> bytes:
    """The directories one behind the other, the first of them at `at` of the file."""
    main, sub = dict(exif.main), dict(exif.exif)
    pointers = [(main, GPS_POINTER, exif.gps), (sub, INTEROPERABILITY_POINTER, exif.interoperability)]
    if sub or exif.interoperability:
        pointers.insert(0, (main, EXIF_POINTER, sub))
    wanted = [pointer for pointer in pointers if pointer[2] or pointer[2] is sub]
    for tags, pointer, _ in wanted:
        tags[pointer] = long8(0)  # its place is known once all lengths are
    place = at + len(_pack(main, at, order, big, after))
    for tags, pointer, below in wanted:
        tags[pointer] = long8(place)
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
    for tag, given in sorted(tags.items()):
        value = given if big or given.kind != _LONG8 else _longs(given)
        data = _ordered(value.kind, value.data, order)
        entry_field = data.ljust(room, b"\0")
        if len(data) > room:
            entry_field = struct.pack(order + word, values_at + len(outside))
            outside += data + b"\0" * (len(data) % 2)
        directory += struct.pack(order + "HH" + word, tag, value.kind, value.count) + entry_field
    return directory + struct.pack(order + word, after) + outside


def _longs(value: Value) -> Value:
    numbers = value.numbers()
    if max(numbers, default=0) >= 1 << 32:
        raise TagsError("has no room beyond 4 GB")
    return Value(_LONG, struct.pack(f"<{len(numbers)}I", *numbers))


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

    @property
    def first_link(self) -> int:
        """Where the file says where its first directory is."""
        return 8 if self.big else 4

    def last_link(self) -> int:
        """Where the last directory, or the header of a file without one, would say where the next one is."""
        link, at, seen = self.first_link, self._number(self.word, self.first_link), 0
        while at and seen < _MOST_PAGES:
            start, count, entry_bytes = self._shape(at)
            link, seen = start + count * entry_bytes, seen + 1
            at = self._number(self.word, link)
        return link

    def append(self, exif: Exif, link: int, *, after: int = 0) -> int:
        """Write directories at the file's end, and at `link` where they are; returns where the next link goes."""
        at = self.end()
        self._file.write(_pack_exif(exif, at, self.order, big=self.big, after=after))
        self._file.seek(link)
        self._file.write(struct.pack(self.order + self.word, at))
        start, count, entry_bytes = self._shape(at)
        return start + count * entry_bytes

    def append_alone(self, tags: Tags) -> int:
        """Write a directory that no other one is followed by; returns its place."""
        at = self.end()
        self._file.write(_pack(tags, at, self.order, self.big, 0))
        return at

    def end(self) -> int:
        """The file's end, made even: the place of a new directory."""
        at = self._file.seek(0, io.SEEK_END)
        return at + self._file.write(b"\0" * (at % 2))

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
                tags[tag] = Value(kind, self._value(entry, tag, kind, number))
        return tags

    def _shape(self, at: int) -> tuple[int, int, int]:
        """Where the entries begin, how many there are, and the bytes of each."""
        count = self._number("Q" if self.big else "H", at)
        return (at + 8, count, 20) if self.big else (at + 2, count, 12)

    def _value(self, entry: bytes, tag: int, kind: int, number: int) -> bytes:
        length = number * _UNIT_BYTES[kind] * _UNITS.get(kind, 1)
        room = struct.calcsize("<" + self.word)
        data = entry[-room:][:length]
        if length > room:
            if length > self._left and tag in _PIXELS:
                raise TagsError(f"has more than {_MOST_BYTES:,} bytes of tags")
            if length > self._left:
                return b""
            self._left -= length
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
