"""Reads a file's structure before anything is decoded: whether it is complete, and which pages it has.

Whether a file is cut short is read from the file itself, because libvips' messages differ between decoders and all
threads share its error buffer. PNG: ISO/IEC 15948, 5.3, and for animations its 3rd edition, 11.3.4; WebP: RFC 9649, 2.3
and 2.7; TIFF: see tiff.layout; JPEG 2000: see jp2.boxes.
"""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from worker.scans.formats.errors import EndsEarly, FormatError, UnsupportedKind
from worker.scans.formats.jp2.boxes import read_boxes
from worker.scans.formats.jpeg.holes import Zeros, zeros_in
from worker.scans.formats.jpeg.progressive import progressive_hole_at
from worker.scans.formats.jpeg.segments import is_progressive
from worker.scans.formats.tiff.layout import TiffPage, read_layout

MAX_TILES_ACROSS = 2048  # the time that libvips takes for a row of tiles grows with the square of their number
_MAX_CHUNKS = 10_000_000
_TAIL_BYTES = 4096
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Structure:
    """`expected_bytes` is the smallest size of the complete file, as far as the file says.

    `pages` are those of a TIFF, in the order of the file, without smaller copies of a page.
    """

    size_bytes: int
    expected_bytes: int
    pages: tuple[int, ...] = (0,)
    tiff_pages: dict[int, TiffPage] = field(default_factory=dict)
    damage: str | None = None  # what is wrong in the file, in words
    unsupported: str | None = None  # the kind of file that can't be read here, in words
    lost: tuple[str, ...] = ()  # what could not be read after the pictures, in words
    frames: int = 1  # of an animation
    tiles_across: int = 0
    jpeg_zeros: Zeros | None = None  # only decoding shows whether they belong to the picture

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
        except EndsEarly as cut:
            return Structure(size, cut.end)
        except UnsupportedKind as kind:
            return Structure(size, 0, unsupported=str(kind))
        except FormatError as damage:
            return Structure(size, 0, damage=str(damage))


def _jpeg_structure(file: BinaryIO, size: int) -> Structure:
    """The structure of a JPEG. Only its end marker shows that it is complete, and other bytes may follow it."""
    file.seek(max(0, size - _TAIL_BYTES))
    end = size if _END_OF_JPEG in file.read() else size + len(_END_OF_JPEG)
    zeros = progressive_hole_at(file) if is_progressive(file) else zeros_in(file)
    if isinstance(zeros, int):
        return Structure(size, end, damage=f"from byte {zeros:,} on, its pixels are zeros")
    return Structure(size, end, jpeg_zeros=zeros)


def _png_structure(file: BinaryIO, size: int) -> Structure:
    place, frames = 8, 1
    for _ in range(_MAX_CHUNKS):
        length, name = struct.unpack(">I4s", _read(file, size, place, 8))
        if name == b"acTL":
            (frames,) = struct.unpack(">I", _read(file, size, place + 8, 4))
        place += 12 + length  # 12: the chunk's length, name and checksum
        if place > size:
            raise EndsEarly(place)
        if name == b"IEND":
            break
    return Structure(size, place, frames=frames)


def _webp_structure(file: BinaryIO, size: int) -> Structure:
    end = 8 + int(struct.unpack("<I", _read(file, size, 4, 4))[0])
    if end > size:
        return Structure(size, end)
    place, frames = 12, 0
    while place + 8 <= end and frames < _MAX_CHUNKS:
        name, length = struct.unpack("<4sI", _read(file, size, place, 8))
        frames += name == b"ANMF"
        place += 8 + length + length % 2
    return Structure(size, end, frames=max(1, frames))


def _tiff_structure(file: BinaryIO, size: int) -> Structure:
    layout = read_layout(file)
    pages = layout.pages
    return Structure(
        size,
        expected_bytes=max((page.pixels_end for page in pages), default=0),
        pages=tuple(number for number, page in enumerate(pages) if not page.is_reduced) or (0,),
        tiff_pages=dict(enumerate(pages)),
        damage=next((page.damage for page in pages if page.damage), None) if pages else "it has no directory",
        lost=tuple(layout.lost),
        tiles_across=max((page.place.across for page in pages if page.is_tiled), default=0),
    )


def _read(file: BinaryIO, size: int, place: int, length: int) -> bytes:
    if place + length > size:
        raise EndsEarly(place + length)
    file.seek(place, os.SEEK_SET)
    return file.read(length)
