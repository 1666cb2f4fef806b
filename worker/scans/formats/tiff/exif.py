"""Reads all tags of a TIFF page or an EXIF block. Damaged tags are left out, and their names are recorded."""

import io
from typing import BinaryIO

from worker.scans.formats.errors import FormatError
from worker.scans.formats.metadata_limits import MAX_TOTAL_BYTES
from worker.scans.formats.tiff.ifd_reader import Entry, IfdReader
from worker.scans.formats.tiff.tags import UNIT_BYTES, Exif, Tag, Tags, Value

_LAST_ORIENTATION = 8
_NAMES = {
    Tag.EXIF_IFD: "EXIF directory",
    Tag.GPS_IFD: "GPS directory",
    Tag.INTEROPERABILITY_IFD: "interoperability directory",
}
# Tags with the places of pixels: thousands of numbers, which are not needed here.
_PIXEL_PLACES = {Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS, Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS}


def read_exif(file: BinaryIO, offset: int | None = None) -> Exif:
    """The tags of the directory at the byte `offset` (None: the first directory), and of the directories below it.

    A tag that is too long has an empty value. Tags that point beyond the file's end, and directories that can't be
    read, are left out and named in `lost`. Raises FormatError if the first directory can't be read.
    """
    return _ExifReader(file).read(offset)


def orientation_of(block: bytes) -> int:
    """The orientation in an EXIF block, 1..8; 0 if there is none, or if the block can't be read."""
    try:
        reader = IfdReader(io.BytesIO(block))
        orientation = reader.number(reader.entries(reader.first), Tag.ORIENTATION, 0)
    except FormatError:
        return 0
    return orientation if orientation <= _LAST_ORIENTATION else 0


class _ExifReader:
    def __init__(self, file: BinaryIO) -> None:
        self._ifds = IfdReader(file)
        self._bytes_left = MAX_TOTAL_BYTES  # values that exceed it, such as Photoshop's layers, are not read
        self._lost: list[str] = []

    def read(self, offset: int | None) -> Exif:
        entries = self._ifds.entries(self._ifds.first if offset is None else offset)
        main = self._tags(entries)
        exif_entries = self._entries_below(entries, Tag.EXIF_IFD)
        exif = self._tags(exif_entries)
        gps = self._tags(self._entries_below(entries, Tag.GPS_IFD))
        interoperability = self._tags(self._entries_below(exif_entries, Tag.INTEROPERABILITY_IFD))
        for tags, pointer in ((main, Tag.EXIF_IFD), (main, Tag.GPS_IFD), (exif, Tag.INTEROPERABILITY_IFD)):
            tags.pop(pointer, None)
        note = exif_entries.get(Tag.MAKER_NOTE)
        note_at = note.place if note and not note.is_inline and Tag.MAKER_NOTE in exif else None
        return Exif(main, exif, gps, interoperability, self._ifds.order, note_at, self._lost)

    def _entries_below(self, entries: dict[int, Entry], pointer: Tag) -> dict[int, Entry]:
        """The directory that a tag points to; empty if there is none, or if it is damaged."""
        if pointer not in entries:
            return {}
        try:
            return self._ifds.entries(self._ifds.number(entries, pointer, 0))
        except FormatError:
            self._lost.append(f"{_NAMES[pointer]} (damaged)")
            return {}

    def _tags(self, entries: dict[int, Entry]) -> Tags:
        tags: Tags = {}
        beyond: list[int] = []
        for tag, entry in entries.items():
            if entry.field_type not in UNIT_BYTES or tag in _PIXEL_PLACES:
                continue
            if self._ifds.is_beyond(entry):
                beyond.append(tag)
            elif not entry.is_inline and entry.length > self._bytes_left:
                tags[tag] = Value(entry.field_type, b"")
            else:
                self._bytes_left -= 0 if entry.is_inline else entry.length
                tags[tag] = self._ifds.value(entry)
        if beyond:
            self._lost.append(f"tags {', '.join(map(str, beyond))} (they point beyond the file's end)")
        return tags
