"""What a file's own structure says before anything is decoded: is it whole, and how many pages has it?

libvips' messages differ between decoders and its error buffer is shared by all threads, so whether a file is cut
short is read from the file itself. PNG: ISO/IEC 15948, 5.3; TIFF: TIFF 6.0, section 2; BigTIFF: libtiff's design
note; WebP: RFC 9649, 2.3; JPEG 2000: see jp2_boxes.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from worker.scans.jp2_boxes import read_boxes

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TYPE_CODES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8"}
_SUBFILE_TYPE, _OFFSETS, _COUNTS = 254, (273, 324), (279, 325)  # of strips, of tiles
_WIDTH, _HEIGHT, _SAMPLES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _SEPARATE = 256, 257, 277, 284, 322, 323, 2
_WANTED = (_SUBFILE_TYPE, *_OFFSETS, *_COUNTS, _WIDTH, _HEIGHT, _SAMPLES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT)
MOST_TILES_ACROSS = 2048  # the time that libvips takes for a row of tiles grows with the square of their number
_MOST_PAGES = 100_000  # more is a loop, or hostile
_MOST_CHUNKS = 10_000_000
_MOST_VALUE_BYTES = 1 << 28
_NONE = np.zeros(1)
_TAIL_BYTES = 4096
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Structure:
    """`expected_bytes` is the least that a whole file would have, as far as it says.

    `pages` are a TIFF's, numbered as they lie in the file; smaller copies of a page are none. `planes` are those of
    them that keep each channel in tiles of its own.
    """

    size_bytes: int
    expected_bytes: int
    pages: tuple[int, ...] = (0,)
    planes: frozenset[int] = frozenset()
    lacks_tiles: bool = False  # a page has fewer than its size needs
    tiles_across: int = 0

    @property
    def is_cut(self) -> bool:
        return self.expected_bytes > self.size_bytes


def read_structure(path: Path, format: str) -> Structure:
    """The structure of a file of any format that scans have."""
    size = path.stat().st_size
    if format == "jp2":
        return Structure(size, read_boxes(path).end)
    read = {"jpeg": _jpeg_structure, "png": _png_structure, "tiff": _tiff_structure, "webp": _webp_structure}[format]
    with path.open("rb") as file:
        try:
            return read(file, size)
        except _Beyond as beyond:
            return Structure(size, beyond.end)


def _jpeg_structure(file: BinaryIO, size: int) -> Structure:
    """Only its end says that a JPEG is whole, and bytes that belong to no image may follow that."""
    file.seek(max(0, size - _TAIL_BYTES))
    return Structure(size, size if _END_OF_JPEG in file.read() else size + len(_END_OF_JPEG))


def _png_structure(file: BinaryIO, size: int) -> Structure:
    at = 8
    for _ in range(_MOST_CHUNKS):
        length, kind = struct.unpack(">I4s", _read(file, size, at, 8))
        at += 12 + length  # with its length, kind and checksum
        if at > size:
            raise _Beyond(at)
        if kind == b"IEND":
            break
    return Structure(size, at)


def _webp_structure(file: BinaryIO, size: int) -> Structure:
    return Structure(size, 8 + int(struct.unpack("<I", _read(file, size, 4, 4))[0]))


def _tiff_structure(file: BinaryIO, size: int) -> Structure:
    tiff = _Tiff(file, size)
    expected, pages, planes, seen = 0, list[int](), set[int](), set[int]()
    lacks_tiles, tiles_across = False, 0
    offset = tiff.first_directory
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        directory = tiff.directory(offset)
        if not directory.is_reduced:
            pages.append(len(seen))
        if directory.is_planar_in_tiles:
            planes.add(len(seen))
        lacks_tiles, tiles_across = lacks_tiles or directory.lacks_tiles, max(tiles_across, directory.tiles_across)
        seen.add(offset)
        offset = directory.after
        expected = max(expected, directory.pixels_end)
    return Structure(size, expected, tuple(pages) or (0,), frozenset(planes), lacks_tiles, tiles_across)


def _read(file: BinaryIO, size: int, at: int, length: int) -> bytes:
    if at + length > size:
        raise _Beyond(at + length)
    file.seek(at, os.SEEK_SET)
    return file.read(length)


class _Beyond(Exception):
    """The file ends before the byte `end` that it speaks of."""

    def __init__(self, end: int) -> None:
        self.end = end


@dataclass(frozen=True, slots=True)
class _Directory:
    """A page: is it a smaller copy of another one; the byte after its pixels; the next directory, 0 for none."""

    is_reduced: bool
    is_planar_in_tiles: bool
    pixels_end: int
    after: int
    lacks_tiles: bool
    tiles_across: int


class _Tiff:
    """Just enough of a TIFF reader to walk its directories."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        head = self._read(0, 8)
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = head[2:4] in (b"+\0", b"\0+")
        self._word = "Q" if self._big else "I"  # of an offset
        self.first_directory = self._number(self._word, 8 if self._big else 4)

    def directory(self, at: int) -> _Directory:
        """The directory that begins at the byte `at`."""
        count_code, entry_bytes = ("Q", 20) if self._big else ("H", 12)
        start = at + struct.calcsize("<" + count_code)
        end = start + self._number(count_code, at) * entry_bytes
        entries = self._read(start, end - start)
        values: dict[int, NDArray[np.float64]] = {}
        for position in range(0, len(entries), entry_bytes):
            entry = entries[position : position + entry_bytes]
            (tag,) = struct.unpack_from(self._order + "H", entry)
            where, length = self._place(entry, start + position)
            if where + length > self._size:
                raise _Beyond(where + length)
            if tag in _WANTED:
                values[tag] = self._values(entry, where, length)
        first = {tag: int(numbers[0]) for tag, numbers in values.items()}
        planar = first.get(_PLANAR) == _SEPARATE and first.get(_SAMPLES, 1) > 1 and _TILE_WIDTH in first
        reduced = bool(first.get(_SUBFILE_TYPE, 0) & 1)
        across, needed = _tiles(first, planar=planar)
        lacks = needed > len(values.get(_OFFSETS[1], _NONE))
        after = self._number(self._word, end)
        return _Directory(reduced, planar, _pixels_end(values), after, lacks, across)

    def _place(self, entry: bytes, at: int) -> tuple[int, int]:
        """Where a directory entry's values begin, and their bytes: inside it when they fit."""
        kind, count = struct.unpack_from(f"{self._order}H{self._word}", entry, 2)
        room = struct.calcsize("<" + self._word)
        length = count * _TYPE_BYTES.get(kind, 0)
        if length <= room:
            return at + len(entry) - room, length
        return int(struct.unpack(self._order + self._word, entry[-room:])[0]), length

    def _values(self, entry: bytes, where: int, length: int) -> NDArray[np.float64]:
        """The numbers of an entry, as floats: a hostile sum of two of them then can't overflow."""
        (kind,) = struct.unpack_from(self._order + "H", entry, 2)
        code = _TYPE_CODES.get(kind)
        if code is None or not 0 < length <= _MOST_VALUE_BYTES:
            return _NONE
        return np.frombuffer(self._read(where, length), self._order + code).astype(np.float64)

    def _number(self, code: str, at: int) -> int:
        data = self._read(at, struct.calcsize("<" + code))
        return int(struct.unpack(self._order + code, data)[0])

    def _read(self, at: int, length: int) -> bytes:
        return _read(self._file, self._size, at, length)


def _tiles(first: dict[int, int], *, planar: bool) -> tuple[int, int]:
    """How many tiles lie beside each other, and how many a page needs; 0 for one in strips."""
    width, height = first.get(_TILE_WIDTH, 0), first.get(_TILE_HEIGHT, 0)
    if not (width and height and _OFFSETS[1] in first):
        return 0, 0
    across = -(-first.get(_WIDTH, 0) // width)
    return across, across * -(-first.get(_HEIGHT, 0) // height) * (first.get(_SAMPLES, 1) if planar else 1)


def _pixels_end(values: dict[int, NDArray[np.float64]]) -> int:
    ends = [0]
    for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
        starts, lengths = values.get(offsets, _NONE), values.get(counts, _NONE)
        both = min(len(starts), len(lengths))
        ends.append(int((starts[:both] + lengths[:both]).max()))
    return max(ends)
