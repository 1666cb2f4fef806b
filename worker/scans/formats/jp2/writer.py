"""Writes colour images as lossless JPEG 2000, in tiles that are coded one after the other."""

from pathlib import Path

import imagecodecs
import numpy as np
import pyvips

from worker.arrays import Pixels
from worker.scans.formats.jp2.boxes import head_of
from worker.scans.formats.jp2.codestream import Grid, TileWriter

_TILE = 1024  # pixels; at the coarsest of five resolutions these are 64, the side of a code-block
_RESOLUTIONS = 5


def save_jp2(image: pyvips.Image, path: Path, per_millimetre: tuple[float, float] | None) -> None:
    """Write RGB or RGBA of 8 or 16 bits, whose pixels come from top to bottom; a row of tiles is in memory at once."""
    bit_depth = 8 if image.format == "uchar" else 16
    profile = pyvips.Image.profile_load("srgb")
    head = head_of(
        image.width,
        image.height,
        image.bands,
        bit_depth,
        profile=bytes(profile),
        per_millimetre=per_millimetre,
    )
    grid = Grid(image.width, image.height, 0, 0, _TILE, _TILE, 0, 0)
    region = pyvips.Region.new(image)
    with path.open("wb") as file:
        file.write(head)
        tiles = TileWriter(file, grid)
        for top in range(0, image.height, _TILE):
            rows = min(_TILE, image.height - top)
            data = region.fetch(0, top, image.width, rows)
            for tile in _tiles(_array(data, bit_depth).reshape(rows, image.width, image.bands)):
                tiles.add(_coded(tile))
        tiles.end()


def _array(data: bytes, bit_depth: int) -> Pixels:
    return np.frombuffer(data, np.uint8) if bit_depth == 8 else np.frombuffer(data, np.uint16)


def _tiles(rows: Pixels) -> list[Pixels]:
    return [rows[:, left : left + _TILE] for left in range(0, rows.shape[1], _TILE)]


def _coded(tile: Pixels) -> bytes:
    """The tile, coded without loss: with the 5-3 wavelet and the reversible colour transform."""
    smallest = min(tile.shape[:2])
    resolutions = min(_RESOLUTIONS, smallest.bit_length())
    whole = np.ascontiguousarray(tile)
    return bytes(
        imagecodecs.jpeg2k_encode(
            whole, codecformat="j2k", reversible=True, mct=True, resolutions=resolutions, numthreads=1
        )
    )
