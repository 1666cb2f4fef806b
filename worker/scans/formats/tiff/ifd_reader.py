"""Reads directories of tags from a TIFF file or an EXIF block, in either byte order. Only this module parses them.

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

Numbers = NDArray[np.float64]  # floats, so that the sum of two hostile numbers can't overflow

_MAX_TAGS = 4096  # of a directory
_MAX_PAGES = 100_000
_MAX_NUMBERS = 1 << 22  # of one tag: more strips than any scan has
_UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a directory. `place` is the first byte of its values, `length` is their size in bytes."""

    tag: int
    field_type: int
    count: int
    place: int
    length: int
    is_inline: bool


class IfdReader:
    """Reads the directories of an open TIFF file or EXIF block.

    Methods raise TagsError, or EndsEarly for a place beyond the file's end.
    """

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
        self.first_link = self.word_bytes  # the place of the pointer to the first directory
        self.first = self._number(self.word, self.first_link)

    def entries(self, offset: int) -> dict[int, Entry]:
        """The entries of the directory at the byte `offset`, by tag. If a tag comes twice, the first one counts."""
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
        """The place of the link to the next directory, in the directory at `offset`."""
        start, count, entry_bytes = self.shape(offset)
        return start + count * entry_bytes

    def after(self, offset: int) -> int:
        """The first byte of the directory after the one at `offset`; 0 if there is none."""
        return self._number(self.word, self.next_link(offset))

    def last_link(self) -> int:
        """The place of the link that is to be set for a new directory: in the last directory, or else in the file's
        header.
        """
        link, offset, pages = self.first_link, self.first, 0
        while offset and pages < _MAX_PAGES:
            link, pages = self.next_link(offset), pages + 1
            offset = self._number(self.word, link)
        return link

    def is_beyond(self, entry: Entry) -> bool:
        """Whether the entry's values lie partly beyond the end of the file."""
        return entry.place + entry.length > self.size

    def value(self, entry: Entry) -> Value:
        """The entry's values, however long they are; empty if their type is unknown."""
        return Value(entry.field_type, in_order(entry.field_type, self._read(entry.place, entry.length), self.order))

    def directory(self, offset: int) -> dict[int, Value]:
        """All tags of the directory at `offset` that have a known type."""
        return {tag: self.value(entry) for tag, entry in self.entries(offset).items() if entry.field_type in UNIT_BYTES}

    def numbers(self, entry: Entry) -> Numbers:
        """The entry's whole numbers, 0 or more; a single 0 if the values have another type."""
        code = _UNSIGNED.get(entry.field_type)
        if code is None or not entry.count:
            return np.zeros(1)
        if entry.count > _MAX_NUMBERS:
            raise TagsError(f"tag {entry.tag} has {entry.count:,} values")
        return np.frombuffer(self._read(entry.place, entry.length), self.order + code).astype(np.float64)

    def number(self, entries: Mapping[int, Entry], tag: int, default: int) -> int:
        """The first whole number of a tag, or the default if the tag is missing or has another type."""
        entry = entries.get(tag)
        if entry is None or entry.field_type not in _UNSIGNED or not entry.count:
            return default
        return self._number(_CODES[_UNSIGNED[entry.field_type]], entry.place)

    def shape(self, offset: int) -> tuple[int, int, int]:
        """The first byte of a directory's entries, their number, and the size of each in bytes."""
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
