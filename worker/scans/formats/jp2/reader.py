"""Reads JPEG 2000 scans: their headers, and their pixels, tile by tile, as an uncompressed TIFF in the same folder.

The libvips wheel has no decoder for JPEG 2000. OpenJPEG, through imagecodecs, decodes a codestream in memory, and each
tile is made one (see jp2.codestream). The TIFF is then read like any other scan.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.colour.icc_reader import PROFILE_FIELD
from worker.errors import ScanError
from worker.scans.formats.errors import FormatError
from worker.scans.formats.jp2 import boxes as jp2_boxes
from worker.scans.formats.jp2.boxes import Boxes
from worker.scans.formats.jp2.codestream import (
    COD,
    Codestream,
    CodestreamCut,
    CodestreamError,
    read_codestream,
    tile_alone,
    tile_parts,
)
from worker.scans.formats.jp2.holes import refuse_hole, zeros_of_hole
from worker.scans.formats.tiff.header import tiff_header
from worker.scans.geometry import Shape
from worker.system.whole_files import write_beside_then_rename

_COC, _SOD = 0xFF53, b"\xff\x93"
_MAX_TILE_SAMPLES = 1 << 28  # the decoder holds each as a 32-bit integer, and once more in its result
_MAX_PIXELS = 10_000_000  # of a side: libvips' own limit
_MAX_PACKETS = 1 << 20  # of a component; the decoder prepares for all of them, even if the file has none
_ROWS = 64  # in a strip of the TIFF
_KNOWN_SPACES = (None, jp2_boxes.SRGB, jp2_boxes.GREY, jp2_boxes.SYCC, jp2_boxes.CMYK)
_CHROMA_STEPS = ((2, 1), (2, 2))


@dataclass(frozen=True, slots=True)
class Jp2Header:
    """The boxes of a file and the header of its codestream. `bands` includes alpha, `bit_depth` is 8 or 16, and `bits`
    are those that are used.

    If there is a palette, bands and bits are those of the palette's colours.
    """

    boxes: Boxes
    stream: Codestream
    bands: int
    bits: int
    interpretation: str

    @property
    def bit_depth(self) -> int:
        return 8 if self.bits <= 8 else 16

    @property
    def has_own_colours(self) -> bool:
        """Whether the components must be converted to colours: they are numbers of a palette, or luma and chroma."""
        return self.boxes.palette is not None or self.boxes.colour_space == jp2_boxes.SYCC or self.is_subsampled

    @property
    def is_subsampled(self) -> bool:
        """Whether chroma has fewer samples than luma."""
        return set(self.stream.steps) != {(1, 1)}

    @property
    def tile_samples(self) -> int:
        """The number of samples in the largest tile. All of them are in memory at once."""
        tile = self.stream.grid.tile(0)
        width = min(self.stream.grid.tile_width, self.stream.grid.width)
        height = min(self.stream.grid.tile_height, self.stream.grid.height)
        return max(tile.width * tile.height, width * height) * max(self.bands, len(self.stream.depths))

    def image(self) -> pyvips.Image:
        """A black image with the scan's size, kind of colour, profile and resolution."""
        grid = self.stream.grid
        black = pyvips.Image.black(grid.width, grid.height, bands=self.bands)
        return self.dress(black.cast("uchar" if self.bit_depth == 8 else "ushort"))

    def dress(self, image: pyvips.Image) -> pyvips.Image:
        """The image, with the scan's kind of colour, profile and resolution added."""
        across, down = self.boxes.per_millimetre or (1.0, 1.0)
        image = image.copy(interpretation=self.interpretation, xres=across, yres=down)
        if image.get_typeof(PROFILE_FIELD):
            image.remove(PROFILE_FIELD)
        if self.boxes.profile:
            image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, self.boxes.profile)
        return image


def read_header(path: Path, key: str) -> Jp2Header:
    """Raises ScanError: unreadable, truncated, too_large, or unsupported for samples without a known meaning."""
    boxes = jp2_boxes.read_boxes(path)
    with path.open("rb") as file, _codestream_errors(path, key):
        stream = read_codestream(file, boxes.codestream_at, min(boxes.codestream_end, path.stat().st_size))
    _expect_one_size(boxes, stream, key)
    if max(stream.grid.width, stream.grid.height) > _MAX_PIXELS:
        message = f"{key} has {stream.grid.width:,} x {stream.grid.height:,} pixels; expected {_MAX_PIXELS:,} a side"
        raise ScanError("too_large", message, permanent=True)
    depths = set(stream.depths)
    if len(depths) > 1 or not 0 < stream.depths[0] <= 16:
        raise _unsupported(key, f"samples of {', '.join(map(str, sorted(depths)))} bits (below 0: signed)")
    if not _are_sizes_known(boxes, stream):
        raise _unsupported(key, "components of different sizes")
    if not stream.is_divisible and stream.grid.across * stream.grid.down > 1:
        raise _unsupported(key, "the packet headers of all tiles in one place")
    if boxes.has_odd_channels:
        raise _unsupported(key, "colours multiplied by alpha, or in another order")
    bands, bits = (len(stream.depths), stream.depths[0]) if boxes.palette is None else _of_palette(boxes, stream, key)
    return Jp2Header(boxes, stream, bands, bits, _interpretation(boxes, bands, bits, key))


def _expect_one_size(boxes: Boxes, stream: Codestream, key: str) -> None:
    """Raises ScanError if the header and the codestream differ: one is damaged, and nothing says which."""
    size = stream.grid.width, stream.grid.height
    if boxes.size not in (None, size):
        width, height = boxes.size or (0, 0)
        sizes = f"{width:,} x {height:,} by its header, {size[0]:,} x {size[1]:,} by its codestream"
        raise ScanError("unreadable", f"{key} is damaged ({sizes}); expected one size", permanent=True)


def _are_sizes_known(boxes: Boxes, stream: Codestream) -> bool:
    """Whether all components have every pixel, or two of three are chroma with fewer samples."""
    if set(stream.steps) == {(1, 1)}:
        return True
    is_chroma = len(stream.steps) == 3 and stream.steps[0] == (1, 1) and stream.steps[1] == stream.steps[2]
    return is_chroma and stream.steps[1] in _CHROMA_STEPS and boxes.colour_space in (None, jp2_boxes.SYCC)


def _of_palette(boxes: Boxes, stream: Codestream, key: str) -> tuple[int, int]:
    """Channels and bits of a palette's colours. (I.5.3.4, I.5.3.5.)"""
    palette, mapping = boxes.palette or b"", boxes.palette_mapping
    columns = palette[2] if len(palette) > 3 else 0
    depths = {depth + 1 for depth in palette[3 : 3 + columns]}
    channels = [mapping[place : place + 4] for place in range(0, len(mapping), 4)]
    is_plain = len(stream.depths) == 1 and [*map(list, channels)] == [[0, 0, 1, column] for column in range(columns)]
    if not is_plain or len(depths) != 1 or max(depths) > 16:
        raise _unsupported(key, "a palette of another kind than one number for each pixel")
    return columns, depths.pop()


def _interpretation(boxes: Boxes, bands: int, bits: int, key: str) -> str:
    """libvips' name of the kind of colour. If channels are not described, the second or fourth is alpha."""
    if boxes.colour_space not in _KNOWN_SPACES:
        raise _unsupported(key, f"the colour space {boxes.colour_space}")
    is_cmyk = boxes.colour_space == jp2_boxes.CMYK or (boxes.profile or b"")[16:20] == b"CMYK"
    if is_cmyk and bands == 4 and bits == 8:
        return "cmyk"
    colours = {1: 1, 2: 1, 3: 3, 4: 3}.get(bands)
    last_alone = (None, ()) if bands in (1, 3) else (None, (bands - 1,))
    if boxes.colour_space == jp2_boxes.SYCC and bands != 3:
        colours = None
    if colours is None or is_cmyk or boxes.alpha_channels not in last_alone:
        raise _unsupported(key, f"{bands} channels that are neither grey nor RGB")
    greys, rgbs = ("b-w", "grey16"), ("srgb", "rgb16")
    return (greys if colours == 1 else rgbs)[bits > 8]


def _unsupported(key: str, problem: str) -> ScanError:
    message = f"{key} has {problem}; expected a JPEG 2000 of grey or RGB, 1 to 16 bits"
    return ScanError("unsupported", message, permanent=True)


def decoding_bytes(header: Jp2Header) -> int:
    """The largest memory, in bytes, that unpacking takes: a row of tiles, and one tile in the decoder."""
    row = header.stream.grid.width * header.stream.grid.tile_height * header.bands * header.bit_depth // 8
    whole = header.stream.grid.width * header.stream.grid.height * header.bands * header.bit_depth // 8
    return min(row, whole) + header.tile_samples * (4 + 2 * header.bit_depth // 8)


def unpack(path: Path, key: str, header: Jp2Header) -> Path:
    """The scan's pixels as an uncompressed TIFF in the same folder. The first call makes it.

    Raises ScanError: truncated, unreadable, or too_large if the tiles do not fit into memory.
    """
    target = path.with_name(path.name + ".unpacked")
    if not target.exists():
        with write_beside_then_rename(target) as part:
            _unpack(path, key, header, part)
    return target


def _unpack(path: Path, key: str, header: Jp2Header, target: Path) -> None:
    if header.tile_samples > _MAX_TILE_SAMPLES:
        problem = f"{key} is coded in one piece of {header.tile_samples:,} samples"
        message = f"{problem}; expected at most {_MAX_TILE_SAMPLES:,}: convert it to a TIFF, or to JPEG 2000 in tiles"
        raise ScanError("too_large", message, permanent=True)
    grid = header.stream.grid
    with target.open("wb") as file, _codestream_errors(path, key):
        file.write(tiff_header(Shape(grid.width, grid.height, header.bands, header.bit_depth), _ROWS))
        for rows in _rows_of_tiles(path, header):
            file.write(rows.data)


def _rows_of_tiles(path: Path, header: Jp2Header) -> Iterator[Pixels]:
    """The pixels from top to bottom, as many rows at once as a tile has."""
    grid = header.stream.grid
    for row, tiles in enumerate(_tiles(path, header)):
        box = grid.place(row * grid.across)
        pixels = np.empty((box.height, grid.width, header.bands), np.uint8 if header.bit_depth == 8 else np.uint16)
        for column, data in enumerate(tiles):
            place = grid.place(row * grid.across + column)
            if header.has_own_colours:
                size, components = (place.width, place.height), len(header.stream.depths)
                data = jp2_boxes.wrapped(data, header.boxes, size, components, header.stream.depths[0])
            tile = _decoded(data, (place.height, place.width, header.bands), header)
            pixels[:, place.left : place.left + place.width] = tile
        yield pixels


def _tiles(path: Path, header: Jp2Header) -> Iterator[Iterator[bytes]]:
    """The tiles' codestreams, row by row."""
    stream, end = header.stream, min(header.boxes.codestream_end, path.stat().st_size)
    parts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    with path.open("rb") as file:
        _check_coding(stream.segments, header)
        data_bytes: dict[int, int] = defaultdict(int)
        coding = next((content for marker, content in stream.segments if marker == COD), b"")
        per_component = _precincts(coding[0], coding[5:], header) if len(coding) >= 10 else 0
        if per_component and not coding[0] & 1:
            per_component = per_component // 33 * (1 + coding[5])  # 33 is the largest possible number of resolutions
        tile_pixels = min(stream.grid.tile_width, stream.grid.width) * min(stream.grid.tile_height, stream.grid.height)
        zeros = zeros_of_hole(coding, per_component * len(stream.depths), tile_pixels)
        for number, start, stop in tile_parts(file, stream, end):
            segments = list(_segments_of_part(file, start, stop))
            _check_coding(segments, header)
            parts[number].append((start, stop))
            data_bytes[number] += stop - file.tell()
            if zeros is not None and not any(marker == COD for marker, _ in segments):
                _refuse_hole(file, stop, zeros)
        empty = next((number for number in parts if data_bytes[number] < _fewest_bytes(header)), None)
        if empty is not None:
            raise CodestreamError(f"has fewer bytes in tile {empty} than its packets need")
        for row in range(stream.grid.down):
            numbers = range(row * stream.grid.across, (row + 1) * stream.grid.across)
            missing = [number for number in numbers if not parts.get(number)]
            if missing:
                raise CodestreamError(f"lacks tile {missing[0]}")
            yield (tile_alone(file, stream, number, parts[number]) for number in numbers)


def _refuse_hole(file: BinaryIO, stop: int, zeros: int) -> None:
    try:
        refuse_hole(file.read(stop - file.tell()), zeros)
    except FormatError as error:
        raise CodestreamError(str(error)) from None


def _fewest_bytes(header: Jp2Header) -> int:
    """The least number of bytes that a tile's packets need. Each packet has at least one, even if empty. (B.10.3.)

    Tiles at an edge may lack resolutions, and a tile may have its own coding. So only one packet for each component is
    certain.
    """
    return len(header.stream.depths)


def _segments_of_part(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """The markers and contents of a tile-part's header. Afterwards the file's position is right after the header."""
    place = start + 12
    while place + 2 <= stop:
        file.seek(place)
        if file.read(2) == _SOD:
            return
        if place + 4 > stop:
            break
        file.seek(place)
        marker, length = struct.unpack(">HH", file.read(4))
        yield marker, file.read(min(max(0, length - 2), stop - place))
        place += 2 + length
    raise CodestreamError("is damaged within a tile")


def _check_coding(segments: Iterable[tuple[int, bytes]], header: Jp2Header) -> None:
    """Refuse tiny precincts or countless layers, for which the decoder would prepare millions of packets."""
    layers = 1
    for marker, content in segments:
        if marker == COD and len(content) >= 10:
            layers = int.from_bytes(content[2:4], "big")
            style = content[0], content[5:]
        elif marker == _COC and len(content) >= 7:
            wide = 2 if header.bands > 256 else 1
            style = content[wide], content[wide + 1 :]
        else:
            continue
        if layers * _precincts(*style, header) > _MAX_PACKETS:
            raise CodestreamError("is coded in more packets than a scan can have")


def _precincts(flags: int, style: bytes, header: Jp2Header) -> int:
    """How many precincts a tile's component has. (B.6.)"""
    grid, levels = header.stream.grid, style[0]
    width, height = min(grid.tile_width, grid.width), min(grid.tile_height, grid.height)
    if not flags & 1:
        return 33 * (1 + width // (1 << 15)) * (1 + height // (1 << 15))
    total = 0
    for level, sizes in enumerate(style[5 : 6 + levels]):
        scale = max(0, levels - level)
        across, down = width >> scale >> (sizes & 15), height >> scale >> (sizes >> 4)
        total += (across + 2) * (down + 2)
    return total


def _decoded(data: bytes, shape: tuple[int, int, int], header: Jp2Header) -> Pixels:
    """A tile's pixels, of 8 or 16 bits."""
    try:
        tile: NDArray[Any] = imagecodecs.jpeg2k_decode(data, numthreads=1)
    except (imagecodecs.Jpeg2kError, ValueError, MemoryError) as error:
        raise CodestreamError(f"can't be decoded ({error})") from None
    if tile.size != shape[0] * shape[1] * shape[2] or tile.dtype not in (np.uint8, np.uint16):
        raise CodestreamError(f"decodes to {tile.dtype} {tile.shape}")
    tile, whole, full = tile.reshape(shape), (1 << header.bits) - 1, (1 << header.bit_depth) - 1
    pixels: Pixels = tile
    if whole != full:
        levels = (np.arange(whole + 1, dtype=np.uint64) * full + whole // 2) // whole
        pixels = levels.astype(np.uint8 if header.bit_depth == 8 else np.uint16)[np.minimum(tile, whole)]
    return pixels


@contextmanager
def _codestream_errors(path: Path, key: str) -> Iterator[None]:
    """Turn CodestreamErrors into ScanErrors."""
    try:
        yield
    except CodestreamCut:
        message = f"{key} ends after {path.stat().st_size:,} bytes; expected a whole JPEG 2000"
        raise ScanError("truncated", message, permanent=True) from None
    except CodestreamError as error:
        message = f"{key} is damaged (its codestream {error}); expected a whole JPEG 2000"
        raise ScanError("unreadable", message, permanent=True) from None
