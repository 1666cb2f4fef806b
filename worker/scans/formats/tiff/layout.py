"""A TIFF's directories, as far as they say how its pixels lie and what they are; nothing is decoded.

TIFF 6.0, section 2, and TIFF Technical Note 2 for JPEG; BigTIFF: libtiff's design note.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MINISWHITE, MINISBLACK, MASK, CMYK, YCBCR, LAB, LOGLUVS = 0, 1, 4, 5, 6, 8, (32844, 32845)  # PhotometricInterpretation
JPEG, DEFLATES = 7, (8, 32946)  # Compression
FLOATS = 3  # SampleFormat
ASSOCIATED_ALPHA, _ALPHA = 1, 2  # ExtraSamples: colours are multiplied by the first; 0 is anything else
OTHER_INKS = 2  # InkSet

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TYPE_CODES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8"}
_SUBFILE_TYPE, _OFFSETS, _COUNTS = 254, (273, 324), (279, 325)  # of strips, of tiles
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 259, 262, 277, 284
_ROWS, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _SAMPLE_FORMAT = 278, 322, 323, 338, 339
_SUB_PAGES, _INKS = 330, 332
_SEPARATE = 2
_WANTED = {
    *(_SUBFILE_TYPE, *_OFFSETS, *_COUNTS, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR),
    *(_ROWS, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _SAMPLE_FORMAT, _SUB_PAGES, _INKS),
}
_MOST_PAGES = 100_000  # more is a loop, or hostile
_MOST_VALUE_BYTES = 1 << 28
_HEAD_BYTES = 8

Numbers = NDArray[np.float64]  # so that a hostile sum of two of them can't overflow
_NONE = np.zeros(1)


class Beyond(Exception):
    """The file ends before the byte `end` that it speaks of."""

    def __init__(self, end: int) -> None:
        self.end = end


@dataclass(frozen=True, slots=True)
class TiffPage:
    """A directory: numbers are those of TIFF's tags, as they are where a tag is missing.

    `pieces` are first bytes and lengths of its strips or tiles, `piece_bytes` what each holds when it is unpacked.
    """

    is_reduced: bool  # a smaller copy of another page
    has_pages_below: bool
    compression: int
    photometric: int
    bits: int
    samples: int  # of a pixel
    sample_format: int
    inks: int
    extra_samples: tuple[int, ...]
    is_tiled: bool
    is_planar: bool  # each channel in strips or tiles of its own
    pieces: tuple[Numbers, Numbers]
    piece_bytes: int
    lacks_tiles: bool
    tiles_across: int
    after: int  # where the next directory is, 0 for none

    @property
    def pixels_end(self) -> int:
        """The byte after its pixels."""
        starts, lengths = self.pieces
        return int((starts + lengths).max(initial=0))

    @property
    def damage(self) -> str | None:
        """What of its pixels can't be, in words."""
        starts, lengths = self.pieces
        if self.lacks_tiles:
            return "it has fewer tiles than its size needs"
        if ((starts < _HEAD_BYTES) & (lengths > 0)).any():
            return "it says that pixels lie where it begins"
        return None


def alpha_among(extra_samples: Sequence[int]) -> int | None:
    """Which of the channels that are no colours is alpha; None where they are something else, such as infrared."""
    return next((n for n, kind in enumerate(extra_samples) if kind in (ASSOCIATED_ALPHA, _ALPHA)), None)


def read_directories(file: BinaryIO, size: int) -> list[TiffPage]:
    """All of a TIFF's, as they lie in the file. Raises Beyond."""
    tiff, pages, seen = _Tiff(file, size), list[TiffPage](), set[int]()
    offset = tiff.first_directory
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        pages.append(tiff.directory(offset))
        seen.add(offset)
        offset = pages[-1].after
    return pages


class _Tiff:
    """Just enough of a TIFF reader to walk its directories."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        head = self._read(0, _HEAD_BYTES)
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = head[2:4] in (b"+\0", b"\0+")
        self._word = "Q" if self._big else "I"  # of an offset
        self.first_directory = self._number(self._word, 8 if self._big else 4)

    def directory(self, at: int) -> TiffPage:
        """The directory that begins at the byte `at`."""
        count_code, entry_bytes = ("Q", 20) if self._big else ("H", 12)
        start = at + struct.calcsize("<" + count_code)
        end = start + self._number(count_code, at) * entry_bytes
        entries = self._read(start, end - start)
        values: dict[int, Numbers] = {}
        for position in range(0, len(entries), entry_bytes):
            entry = entries[position : position + entry_bytes]
            (tag,) = struct.unpack_from(self._order + "H", entry)
            where, length = self._place(entry, start + position)
            if where + length > self._size:
                raise Beyond(where + length)
            if tag in _WANTED:
                values[tag] = self._values(entry, where, length)
        return _page(values, self._number(self._word, end))

    def _place(self, entry: bytes, at: int) -> tuple[int, int]:
        """Where a directory entry's values begin, and their bytes: inside it when they fit."""
        kind, count = struct.unpack_from(f"{self._order}H{self._word}", entry, 2)
        room = struct.calcsize("<" + self._word)
        length = count * _TYPE_BYTES.get(kind, 0)
        if length <= room:
            return at + len(entry) - room, length
        return int(struct.unpack(self._order + self._word, entry[-room:])[0]), length

    def _values(self, entry: bytes, where: int, length: int) -> Numbers:
        """The numbers of an entry."""
        (kind,) = struct.unpack_from(self._order + "H", entry, 2)
        code = _TYPE_CODES.get(kind)
        if code is None or not 0 < length <= _MOST_VALUE_BYTES:
            return _NONE
        return np.frombuffer(self._read(where, length), self._order + code).astype(np.float64)

    def _number(self, code: str, at: int) -> int:
        data = self._read(at, struct.calcsize("<" + code))
        return int(struct.unpack(self._order + code, data)[0])

    def _read(self, at: int, length: int) -> bytes:
        if at + length > self._size:
            raise Beyond(at + length)
        self._file.seek(at)
        return self._file.read(length)


def _page(values: dict[int, Numbers], after: int) -> TiffPage:
    first = {tag: int(numbers[0]) for tag, numbers in values.items()}
    planar = first.get(_PLANAR) == _SEPARATE and first.get(_SAMPLES, 1) > 1
    across, needed = _tiles(first, planar=planar)
    return TiffPage(
        is_reduced=bool(first.get(_SUBFILE_TYPE, 0) & 1),
        has_pages_below=_SUB_PAGES in first,
        compression=first.get(_COMPRESSION, 1),
        photometric=first.get(_PHOTOMETRIC, MINISWHITE),
        bits=first.get(_BITS, 1),
        samples=first.get(_SAMPLES, 1),
        sample_format=first.get(_SAMPLE_FORMAT, 1),
        inks=first.get(_INKS, 1),
        extra_samples=tuple(map(int, values.get(_EXTRA, ()))),
        is_tiled=_TILE_WIDTH in first,
        is_planar=planar,
        pieces=_pieces(values),
        piece_bytes=_piece_bytes(first, planar=planar),
        lacks_tiles=needed > len(values.get(_OFFSETS[1], _NONE)),
        tiles_across=across,
        after=after,
    )


def _tiles(first: dict[int, int], *, planar: bool) -> tuple[int, int]:
    """How many tiles lie beside each other, and how many a page needs; 0 for one in strips."""
    width, height = first.get(_TILE_WIDTH, 0), first.get(_TILE_HEIGHT, 0)
    if not (width and height and _OFFSETS[1] in first):
        return 0, 0
    across = -(-first.get(_WIDTH, 0) // width)
    return across, across * -(-first.get(_HEIGHT, 0) // height) * (first.get(_SAMPLES, 1) if planar else 1)


def _piece_bytes(first: dict[int, int], *, planar: bool) -> int:
    width, height = first.get(_WIDTH, 0), first.get(_HEIGHT, 0)
    wide, high = first.get(_TILE_WIDTH, width), first.get(_TILE_HEIGHT, min(first.get(_ROWS, height), height))
    row_bits = wide * first.get(_BITS, 1) * (1 if planar else first.get(_SAMPLES, 1))
    return -(-row_bits // 8) * high


def _pieces(values: dict[int, Numbers]) -> tuple[Numbers, Numbers]:
    """Of strips and of tiles: a page that has both is odd, but may be whole."""
    starts, lengths = [], []
    for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
        both = min(len(values.get(offsets, ())), len(values.get(counts, ())))
        starts.append(values.get(offsets, _NONE)[:both])
        lengths.append(values.get(counts, _NONE)[:both])
    return np.concatenate(starts), np.concatenate(lengths)
