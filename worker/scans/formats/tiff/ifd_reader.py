"""Directories of tags read from a TIFF file, or an EXIF block, of any byte order."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from worker.scans.formats.tiff.tags import (
    EXIF_POINTER,
    GPS_POINTER,
    INTEROPERABILITY_POINTER,
    MAKER_NOTE,
    UNIT_BYTES,
    UNITS,
    Exif,
    Tags,
    TagsError,
    Value,
    in_order,
)

_MOST_BYTES = 16 << 20  # of all values together; what goes beyond, such as Photoshop's layers, is not read
_MOST_TAGS = 1000
_ORIENTATION, _LAST_ORIENTATION = 274, 8
_MOST_PAGES = 100_000
_PIXELS = {273, 324, 279, 325}  # where strips and tiles are, and their lengths


def read_exif(file: BinaryIO, page: int = 0) -> Exif:
    """All tags of a TIFF file's page, its directories counted from 0, or of an EXIF block. Raises TagsError.

    A tag that is too long to be read comes empty.
    """
    reader = TagReader(file)
    at = reader.first
    for _ in range(page):
        at = reader.after(at)
    main = reader.directory(at)
    note_at = reader.place_of(MAKER_NOTE, main[EXIF_POINTER].number()) if EXIF_POINTER in main else None
    exif = reader.below(main, EXIF_POINTER)
    gps, interoperability = reader.below(main, GPS_POINTER), reader.below(exif, INTEROPERABILITY_POINTER)
    return Exif(main, exif, gps, interoperability, reader.order, note_at)


def orientation_of(block: bytes) -> int:
    """As an EXIF block has it, 1..8; 0 where it says nothing, or can't be read."""
    try:
        main = read_exif(io.BytesIO(block)).main
    except TagsError:
        return 0
    said = main[_ORIENTATION].number() if _ORIENTATION in main else 0
    return said if said <= _LAST_ORIENTATION else 0


class TagReader:
    """Directories of an open TIFF file, or EXIF block."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
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
            start, count, entry_bytes = self.shape(at)
            link, seen = start + count * entry_bytes, seen + 1
            at = self._number(self.word, link)
        return link

    def below(self, tags: Tags, pointer: int) -> Tags:
        """The directory that a tag points to, nothing where there is none; the tag is taken out."""
        place = tags.pop(pointer, None)
        return self.directory(place.number()) if place else {}

    def place_of(self, tag: int, at: int) -> int | None:
        """Where a tag's bytes lie; None where the directory at `at` has none, or so few that they lie in it."""
        for entry, found, _, count in self._entries(at):
            if found == tag and count > struct.calcsize("<" + self.word):
                return self._last_number(entry)
        return None

    def after(self, at: int) -> int:
        """Where the directory after the one at `at` begins; 0 for none."""
        start, count, entry_bytes = self.shape(at)
        return self._number(self.word, start + count * entry_bytes)

    def directory(self, at: int) -> Tags:
        """All tags of the directory at `at`, of types that are known."""
        return {
            tag: Value(kind, self._value(entry, tag, kind, count))
            for entry, tag, kind, count in self._entries(at)
            if kind in UNIT_BYTES
        }

    def _entries(self, at: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Each entry of a directory, with its tag, type and count."""
        start, count, entry_bytes = self.shape(at)
        if count > _MOST_TAGS:
            raise TagsError(f"has {count} tags")
        entries = self._read(start, count * entry_bytes)
        for place in range(0, len(entries), entry_bytes):
            entry = entries[place : place + entry_bytes]
            yield entry, *struct.unpack_from(f"{self.order}HH{self.word}", entry)

    def shape(self, at: int) -> tuple[int, int, int]:
        """Where the entries begin, how many there are, and the bytes of each."""
        count = self._number("Q" if self.big else "H", at)
        return (at + 8, count, 20) if self.big else (at + 2, count, 12)

    def _value(self, entry: bytes, tag: int, kind: int, count: int) -> bytes:
        length = count * UNIT_BYTES[kind] * UNITS.get(kind, 1)
        room = struct.calcsize("<" + self.word)
        data = entry[-room:][:length]
        if length > room:
            if length > self._left and tag in _PIXELS:
                raise TagsError(f"has more than {_MOST_BYTES:,} bytes of tags")
            if length > self._left:
                return b""
            self._left -= length
            data = self._read(self._last_number(entry), length)
        return in_order(kind, data, self.order)

    def _last_number(self, entry: bytes) -> int:
        """Where the value of a directory's entry lies, if not in itself."""
        return int(struct.unpack(self.order + self.word, entry[-struct.calcsize("<" + self.word) :])[0])

    def _number(self, code: str, at: int) -> int:
        return int(struct.unpack(self.order + code, self._read(at, struct.calcsize("<" + code)))[0])

    def _read(self, at: int, length: int) -> bytes:
        try:
            self.file.seek(at)
            data = self.file.read(length)
        except (OSError, OverflowError, ValueError) as error:
            raise TagsError(str(error)) from None
        if len(data) < length:
            raise TagsError("ends early")
        return data
