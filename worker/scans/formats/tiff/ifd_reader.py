"""Directories of tags read from a TIFF file, or an EXIF block, of any byte order: the one place where they are parsed.

TIFF 6.0, section 2; BigTIFF: libtiff's design note.
"""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from worker.scans.formats.errors import EndsEarly
from worker.scans.formats.tiff.tags import UNIT_BYTES, UNITS, TagsError, Value, in_order

Numbers = NDArray[np.float64]  # so that a hostile sum of two of them can't overflow

_MAX_TAGS = 4096  # of a directory
_MAX_PAGES = 100_000
_MAX_NUMBERS = 1 << 22  # of one tag: more strips than any scan has
_UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory's entry: `place` is the byte where its values begin, `length` how many bytes they have."""

    tag: int
    field_type: int
    count: int
    place: int
    length: int
    is_inline: bool


class IfdReader:
    """Directories of an open TIFF file, or EXIF block. Methods raise TagsError, or EndsEarly beyond the file's end."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, io.SEEK_END)
        head = self._read(0, 8)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self.order:
            raise TagsError(f"it begins with {head[:2].hex()}")
        self.is_big = head[2:4] in (b"+\0", b"\0+")
        self.word = "Q" if self.is_big else "I"
        self.word_bytes = 8 if self.is_big else 4
        self.first_link = self.word_bytes  # where the file says where its first directory is
        self.first = self._number(self.word, self.first_link)

    def entries(self, offset: int) -> dict[int, Entry]:
        """The entries of the directory at the byte `at`, by tag; of a tag that is there twice, the first."""
        start, count, entry_bytes = self.shape(offset)
        if count > _MAX_TAGS:
            raise TagsError(f"it has {count:,} tags in one directory")
        data = self._read(start, count * entry_bytes)
        entries: dict[int, Entry] = {}
        for position in range(0, len(data), entry_bytes):
            tag, field_type, number = struct.unpack_from(f"{self.order}HH{self.word}", data, position)
            length = number * UNIT_BYTES.get(field_type, 0) * UNITS.get(field_type, 1)
            place = start + position + entry_bytes - self.word_bytes
            is_inline = length <= self.word_bytes
            if not is_inline:
                (place,) = struct.unpack_from(self.order + self.word, data, position + entry_bytes - self.word_bytes)
            entries.setdefault(tag, Entry(tag, field_type, number, place, length, is_inline))
        return entries

    def next_link(self, offset: int) -> int:
        """Where the directory at `at` says where the next one is."""
        start, count, entry_bytes = self.shape(offset)
        return start + count * entry_bytes

    def after(self, offset: int) -> int:
        """Where the directory after the one at `at` begins; 0 for none."""
        return self._number(self.word, self.next_link(offset))

    def last_link(self) -> int:
        """Where the last directory, or the header of a file without one, would say where the next one is."""
        link, offset, pages = self.first_link, self.first, 0
        while offset and pages < _MAX_PAGES:
            link, pages = self.next_link(offset), pages + 1
            offset = self._number(self.word, link)
        return link

    def is_beyond(self, entry: Entry) -> bool:
        """Whether the file ends before the entry's values do."""
        return entry.place + entry.length > self.size

    def value(self, entry: Entry) -> Value:
        """The entry's values, whatever their length; none where their type is unknown."""
        return Value(entry.field_type, in_order(entry.field_type, self._read(entry.place, entry.length), self.order))

    def directory(self, offset: int) -> dict[int, Value]:
        """All tags of the directory at `at`, of types that are known."""
        return {tag: self.value(entry) for tag, entry in self.entries(offset).items() if entry.field_type in UNIT_BYTES}

    def numbers(self, entry: Entry) -> Numbers:
        """The entry's whole numbers from 0 on; a single 0 for values of other types."""
        code = _UNSIGNED.get(entry.field_type)
        if code is None or not entry.count:
            return np.zeros(1)
        if entry.count > _MAX_NUMBERS:
            raise TagsError(f"tag {entry.tag} has {entry.count:,} values")
        return np.frombuffer(self._read(entry.place, entry.length), self.order + code).astype(np.float64)

    def number(self, entries: Mapping[int, Entry], tag: int, default: int) -> int:
        """The first whole number of a tag, or the default where it is missing, or of another type."""
        entry = entries.get(tag)
        if entry is None or entry.field_type not in _UNSIGNED or not entry.count:
            return default
        return self._number(_CODES[_UNSIGNED[entry.field_type]], entry.place)

    def shape(self, offset: int) -> tuple[int, int, int]:
        """Where a directory's entries begin, how many there are, and the bytes of each."""
        count = self._number("Q" if self.is_big else "H", offset)
        return (offset + 8, count, 20) if self.is_big else (offset + 2, count, 12)

    def _number(self, code: str, offset: int) -> int:
        return int(struct.unpack(self.order + code, self._read(offset, struct.calcsize("<" + code)))[0])

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise EndsEarly(offset + length)
        self.file.seek(offset)
        return self.file.read(length)


_CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
