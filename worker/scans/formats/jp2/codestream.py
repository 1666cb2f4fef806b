"""Splits JPEG 2000 codestreams into their tiles and joins tiles again, so that a whole image is never in memory.

Each tile is coded independently of the others. With a main header for this tile alone, it is a complete codestream.
(ISO/IEC 15444-1, annex A; B.3 for the places of tiles.)
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from worker.scans.geometry import Box

SIZ, COD, QCD, SOT, SOD = 0xFF51, 0xFF52, 0xFF5C, 0xFF90, 0xFF93
START, END = b"\xff\x4f", b"\xff\xd9"
_LENGTHS, _PACKED_HEADERS = (0xFF55, 0xFF57), 0xFF60  # TLM, PLM; PPM
_SIZ = struct.Struct(">HIIIIIIIIH")  # capabilities, two corners of the image, tile size and origin, count
_MAX_SEGMENTS = 1_000
_MAX_TILES = 65_535  # A.4.2: a tile's number has 16 bits
_SOT_BYTES = 12


class CodestreamError(ValueError):
    """The codestream is damaged; the message says how."""


class CodestreamCut(CodestreamError):
    """The codestream ends before its tiles do."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The places of the image and its tiles on the reference grid: two corners of the image, and a tile's size and
    origin.
    """

    right: int
    bottom: int
    left: int
    top: int
    tile_width: int
    tile_height: int
    tiles_left: int
    tiles_top: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def across(self) -> int:
        return -(-(self.right - self.tiles_left) // self.tile_width)

    @property
    def down(self) -> int:
        return -(-(self.bottom - self.tiles_top) // self.tile_height)

    def tile(self, number: int) -> "Grid":
        """The grid of an image that consists only of this tile."""
        row, column = divmod(number, self.across)
        left, top = self.tiles_left + column * self.tile_width, self.tiles_top + row * self.tile_height
        return Grid(
            min(left + self.tile_width, self.right),
            min(top + self.tile_height, self.bottom),
            max(left, self.left),
            max(top, self.top),
            self.tile_width,
            self.tile_height,
            left,
            top,
        )

    def place(self, number: int) -> Box:
        """The tile's place in the image, in pixels."""
        tile = self.tile(number)
        return Box(tile.left - self.left, tile.top - self.top, tile.width, tile.height)


@dataclass(slots=True)
class Codestream:
    """The main header of a codestream. `depths` are the bits of each component, negative for signed components."""

    grid: Grid
    depths: list[int]
    steps: list[tuple[int, int]]  # each component's sampling, across and down; (1, 1): every pixel has a sample
    segments: list[tuple[int, bytes]] = field(default_factory=list)  # markers and contents, SIZ first
    tiles_at: int = 0

    def segment(self, marker: int) -> bytes:
        return next((content for number, content in self.segments if number == marker), b"")

    @property
    def is_divisible(self) -> bool:
        """Whether each tile can be decoded alone. It cannot if the main header has the packet headers of all tiles."""
        return all(marker != _PACKED_HEADERS for marker, _ in self.segments)


def read_codestream(file: BinaryIO, place: int, end: int) -> Codestream:
    """The main header of the codestream in the bytes `place`..`end` of a file. Raises CodestreamError."""
    file.seek(place)
    if file.read(2) != START:
        raise CodestreamError("has no codestream")
    segments: list[tuple[int, bytes]] = []
    for _ in range(_MAX_SEGMENTS):
        marker, length = struct.unpack(">HH", _read(file, 4, end))
        if marker == SOT:
            stream = _of_siz(segments[0][1] if segments and segments[0][0] == SIZ else b"")
            stream.segments, stream.tiles_at = segments, file.tell() - 4
            return stream
        if length < 2 or marker < 0xFF00:
            break
        segments.append((marker, _read(file, length - 2, end)))
    raise CodestreamError("has a damaged header")


def _of_siz(content: bytes) -> Codestream:
    if len(content) < _SIZ.size:
        raise CodestreamError("says nothing of its size")
    _, right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top, count = _SIZ.unpack_from(content)
    parts = content[_SIZ.size :]
    sound = left < right and top < bottom and tiles_left <= left < tiles_left + tile_width
    sound = sound and tiles_top <= top < tiles_top + tile_height and len(parts) == 3 * count > 0
    if not sound:
        raise CodestreamError("has a size that can't be")
    grid = Grid(right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top)
    if grid.across * grid.down > _MAX_TILES:
        raise CodestreamError(f"has {grid.across * grid.down:,} tiles")
    depths = [(bits & 0x7F) + 1 if bits < 0x80 else -(bits & 0x7F) - 1 for bits in parts[::3]]
    return Codestream(grid, depths, list(zip(parts[1::3], parts[2::3], strict=True)))


def tile_parts(file: BinaryIO, stream: Codestream, end: int) -> Iterator[tuple[int, int, int]]:
    """The number, first byte and end of each tile-part. Raises CodestreamError, CodestreamCut."""
    place = stream.tiles_at
    while True:
        file.seek(place)
        marker = file.read(2)
        if marker == END:
            return
        head = marker + file.read(_SOT_BYTES - 2)
        if len(head) < _SOT_BYTES:
            raise CodestreamCut("ends early")
        marker_number, _, number, length = struct.unpack(">HHHI", head[:10])
        if marker_number != SOT or (length and length < _SOT_BYTES + 2):
            raise CodestreamError("is damaged between its tiles")
        stop = place + length if length else end - len(END)  # length 0: to the end
        file.seek(end - len(END))
        if stop > end or (not length and file.read(len(END)) != END):
            raise CodestreamCut("ends early")
        yield number, place, stop
        place = stop


def tile_alone(file: BinaryIO, stream: Codestream, number: int, parts: list[tuple[int, int]]) -> bytes:
    """One tile as a complete codestream; `parts` are the first bytes and the ends of its tile-parts."""
    kept = [(marker, content) for marker, content in stream.segments[1:] if marker not in _LENGTHS]
    pieces = [START, _segment(SIZ, _siz(stream.segment(SIZ), stream.grid.tile(number)))]
    pieces += [_segment(marker, content) for marker, content in kept]
    for start, stop in parts:
        file.seek(start)
        part = file.read(stop - start)
        pieces.append(part[:4] + b"\0\0" + struct.pack(">I", len(part)) + part[10:])
    return b"".join([*pieces, END])


def _siz(content: bytes, grid: Grid) -> bytes:
    """A SIZ segment's content with another grid."""
    capabilities, count = content[:2], content[_SIZ.size - 2 :]
    places = (grid.right, grid.bottom, grid.left, grid.top)
    tiles = (grid.tile_width, grid.tile_height, grid.tiles_left, grid.tiles_top)
    return capabilities + struct.pack(">8I", *places, *tiles) + count


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", marker, len(content) + 2) + content


def _read(file: BinaryIO, length: int, end: int) -> bytes:
    if file.tell() + length > end:
        raise CodestreamCut("ends early")
    return file.read(length)


class TileWriter:
    """Joins tiles, each coded as a separate image, to one codestream at the end of an open file.

    Where the coding of a tile (COD, QCD) differs from the first tile's, its own header says so. This happens at an edge
    where the tile is too small for all wavelet levels. Tiles are as wide and high as a code-block at the coarsest
    level, or a multiple of that, so that the code-blocks of a tile lie as in a separate image.
    """

    def __init__(self, file: BinaryIO, grid: Grid) -> None:
        self._file, self._grid, self._number = file, grid, 0
        self._coding: list[bytes] = []

    def add(self, codestream: bytes) -> None:
        """Add the next tile. Tiles come row by row."""
        siz, coding, part = _taken_apart(codestream)
        if not self._number:
            self._coding = coding
            self._file.write(START + _segment(SIZ, _siz(siz, self._grid)) + b"".join(coding))
        tile_coding = b"" if coding == self._coding else b"".join(coding)
        length = len(part) + len(tile_coding)
        head = part[:4] + struct.pack(">HI", self._number, length) + part[10:_SOT_BYTES]
        self._file.write(head + tile_coding + part[_SOT_BYTES:])
        self._number += 1

    def end(self) -> None:
        assert self._number == self._grid.across * self._grid.down
        self._file.write(END)


def _taken_apart(codestream: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Three parts of an encoder's codestream of one tile: SIZ's content, the whole COD and QCD, and the tile-part."""
    place, siz, coding = 2, b"", []
    while True:
        marker, length = struct.unpack_from(">HH", codestream, place)
        if marker == SOT:
            break
        if marker == SIZ:
            siz = codestream[place + 4 : place + 2 + length]
        elif marker in (COD, QCD):
            coding.append(codestream[place : place + 2 + length])
        place += 2 + length
    part = codestream[place : -len(END)]
    assert int.from_bytes(part[6:10], "big") == len(part), "an encoder that makes one tile-part was expected"
    return siz, coding, part
