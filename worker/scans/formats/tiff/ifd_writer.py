"""Writes directories of tags: as EXIF blocks, and at the end of TIFF files, whose pixels are not moved.

An EXIF block is a small TIFF without pixels.
"""

import io
import shutil
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from worker.scans.formats.tiff.exif import read_exif
from worker.scans.formats.tiff.ifd_reader import IfdReader
from worker.scans.formats.tiff.tags import LONG, LONG8, SHORT, Exif, Tag, Tags, TagsError, Value, in_order, long8

_PIXEL_TAGS = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS, Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS)
_OFFSET_TAGS = (Tag.STRIP_OFFSETS, Tag.TILE_OFFSETS)
_MAX_BEFORE_NOTE = 16 << 10  # bytes; a note that lies further on in its file does not keep its place
_UTF_16 = b"UNICODE\0"  # begins a user's comment whose text has the block's byte order


def exif_block(exif: Exif) -> bytes:
    """The tags as a TIFF without pixels, as JPEG and PNG contain them. A maker's note keeps its place."""
    mark = b"II" if exif.order == "<" else b"MM"
    before = b""
    if keeps_note(exif):
        assert exif.note_at is not None
        note = exif.exif[Tag.MAKER_NOTE].data
        before = bytes(exif.note_at - 8) + note + bytes(len(note) % 2)
    packed = _pack_exif(exif, 8 + len(before), exif.order, big=False, keep_note=bool(before))
    return mark + struct.pack(exif.order + "HI", 42, 8 + len(before)) + before + packed


def keeps_note(exif: Exif) -> bool:
    """Whether the maker's note keeps its place in a block of these tags."""
    return Tag.MAKER_NOTE in exif.exif and exif.note_at is not None and 8 <= exif.note_at <= _MAX_BEFORE_NOTE


def add_to_tiff(path: Path, exif: Exif) -> None:
    """Add tags to the first page of a TIFF file. Tags that the page has already are not changed. Raises FormatError.

    A new directory at the end of the file replaces the first one, so no pixel is moved.
    """
    with path.open("r+b") as file:
        writer = _IfdWriter(file)
        old, after = writer.directory(writer.first), writer.after(writer.first)
        merged = replace(_in_order(exif, writer.order), main={**exif.main, **old})
        writer.append(merged, writer.first_link, after=after)


def begin_tiff(path: Path, like: Path, *, big: bool) -> None:
    """Make a TIFF file without pages, in the byte order of `like`. `big`: the file may become larger than 4 GB."""
    with like.open("rb") as file:
        order = IfdReader(file).order
    mark = b"II" if order == "<" else b"MM"
    path.write_bytes(mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)))


def add_page(path: Path, part: Path, tags: Tags, link: int | None = None) -> int:
    """Append the first page of the TIFF file `part`, with the smaller copies below it, to another TIFF file.

    `link` is the place of the link to the new page, in the page before it or, for None, in the header. Returns the
    place of the new page's own link. `tags` replace the page's tags of the same numbers. Raises FormatError.
    """
    with path.open("r+b") as file, part.open("rb") as source:
        reader, writer = IfdReader(source), _IfdWriter(file)
        exif = read_exif(source)
        places = {tag: value for tag, value in reader.directory(reader.first).items() if tag in _PIXEL_TAGS}
        shift = file.seek(0, io.SEEK_END)
        shift += file.write(bytes(-shift % 16))
        source.seek(0)
        shutil.copyfileobj(source, file, 1 << 20)
        if Tag.SUB_IFDS in exif.main:
            copies = [reader.directory(place) for place in exif.main[Tag.SUB_IFDS].numbers()]
            exif.main[Tag.SUB_IFDS] = long8(*(writer.append_alone(_moved(copy, shift)) for copy in copies))
        exif.main = _moved(exif.main | places, shift) | tags
        return writer.append(exif, writer.first_link if link is None else link)


def pack_directory(tags: Tags, offset: int, order: str, *, big: bool) -> bytes:
    """The bytes of a directory and its values, for the byte `offset` of a file. No directory follows it."""
    return _pack(tags, offset, order, big, 0)


class _IfdWriter(IfdReader):
    """Writes directories at the end of a TIFF file that is open for reading and writing."""

    def append(self, exif: Exif, link: int, *, after: int = 0) -> int:
        """Write directories, and write their place at `link`. Returns the place of the next link."""
        offset = self._end()
        self.size = offset + self.file.write(_pack_exif(exif, offset, self.order, big=self.is_big, after=after))
        self.file.seek(link)
        self.file.write(struct.pack(self.order + self.word, offset))
        return self.next_link(offset)

    def append_alone(self, tags: Tags) -> int:
        """Write a directory that is not followed by another one. Returns its place."""
        offset = self._end()
        self.file.write(_pack(tags, offset, self.order, self.is_big, 0))
        return offset

    def _end(self) -> int:
        """The place of a new directory: the end of the file, after a zero if its size is odd."""
        offset = self.file.seek(0, io.SEEK_END)
        return offset + self.file.write(b"\0" * (offset % 2))


def _in_order(exif: Exif, order: str) -> Exif:
    """The tags for another byte order. A UTF-16 comment's bytes are swapped, although TIFF sees them as plain bytes."""
    comment = exif.exif.get(Tag.USER_COMMENT)
    if order == exif.order or comment is None or not comment.data.startswith(_UTF_16):
        return exif
    text = comment.data[len(_UTF_16) :]
    turned = Value(comment.field_type, _UTF_16 + in_order(SHORT, text, ">"))
    return replace(exif, exif=exif.exif | {Tag.USER_COMMENT: turned}, order=order)


def _moved(page: Tags, shift: int) -> Tags:
    """The page's tags for pixels that lie `shift` bytes further on."""
    moved = {tag: long8(*(place + shift for place in page[tag].numbers())) for tag in _OFFSET_TAGS if tag in page}
    return page | moved


def _pack_exif(exif: Exif, offset: int, order: str, *, big: bool, after: int = 0, keep_note: bool = False) -> bytes:
    """The directories one behind the other, the first of them at `offset` of the file."""
    elsewhere: dict[int, int] = {Tag.MAKER_NOTE: exif.note_at} if keep_note and exif.note_at else {}
    main, sub = dict(exif.main), dict(exif.exif)
    pointers = [(main, Tag.GPS_IFD, exif.gps), (sub, Tag.INTEROPERABILITY_IFD, exif.interoperability)]
    if sub or exif.interoperability:
        pointers.insert(0, (main, Tag.EXIF_IFD, sub))
    written = [pointer for pointer in pointers if pointer[2] or pointer[2] is sub]
    for tags, pointer, _ in written:
        tags[pointer] = long8(0)  # the place is known only when all lengths are known
    place = offset + len(_pack(main, offset, order, big, after))
    for tags, pointer, below in written:
        tags[pointer] = long8(place)
        place += len(_pack(below, place, order, big, 0, elsewhere))
    packed = _pack(main, offset, order, big, after)
    for _, _, below in written:
        packed += _pack(below, offset + len(packed), order, big, 0, elsewhere)
    return packed


def _pack(
    tags: Mapping[int, Value],
    offset: int,
    order: str,
    big: bool,
    after: int,
    elsewhere: Mapping[int, int] | None = None,
) -> bytes:
    """One directory and its values. Values of the tags in `elsewhere` are already in the file, at these places."""
    count_code, word = ("Q", "Q") if big else ("H", "I")
    room = struct.calcsize("<" + word)
    values_at = offset + struct.calcsize("<" + count_code) + len(tags) * (4 + 2 * room) + room
    directory, outside = struct.pack(order + count_code, len(tags)), b""
    for tag, value in sorted(tags.items()):
        if value.field_type == LONG8 and not big:
            value = _longs(value)
        data = in_order(value.field_type, value.data, order)
        entry_field = data.ljust(room, b"\0")
        if elsewhere and tag in elsewhere:
            entry_field = struct.pack(order + word, elsewhere[tag])
        elif len(data) > room:
            entry_field = struct.pack(order + word, values_at + len(outside))
            outside += data + b"\0" * (len(data) % 2)
        directory += struct.pack(order + "HH" + word, tag, value.field_type, value.count) + entry_field
    return directory + struct.pack(order + word, after) + outside


def _longs(value: Value) -> Value:
    numbers = value.numbers()
    if max(numbers, default=0) >= 1 << 32:
        raise TagsError("a classic TIFF has no room beyond 4 GB")
    return Value(LONG, struct.pack(f"<{len(numbers)}I", *numbers))
