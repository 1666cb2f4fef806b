"""Holes in a JPEG's pixels that libjpeg reads without a word: zeros, as a broken copy leaves them, are codes too.

ITU-T T.81: B.1.1.5 (no FF D9 within coded data), C.2 (codes by their lengths: the first one is all zeros), F.1.2.
"""

from collections.abc import Iterator
from typing import BinaryIO

from worker.scans.formats.jpeg.segments import head_segments

_BASELINE = (0xC0, 0xC1)
_TABLES = 0xC4
_HOLE = bytes(64)
_END = b"\xff\xd9"
_BLOCK = 1 << 20


def hole_at(file: BinaryIO) -> int | None:
    """The byte from which on the coded data are zeros that can't be a picture's; None where there are none."""
    file.seek(2)
    segments = list(head_segments(file))
    is_baseline = any(marker in _BASELINE for marker, _ in segments)
    if not is_baseline or _zeros_are_blank([content for marker, content in segments if marker == _TABLES]):
        return None
    return _first_hole(file)


def _first_hole(file: BinaryIO) -> int | None:
    """Where the first zeros lie before the picture's end; the file stands behind the marker of its only scan."""
    place, before = file.tell(), b""
    while block := file.read(_BLOCK):
        data = before + block
        end = data.find(_END)
        hole = data.find(_HOLE, 0, end if end >= 0 else len(data))
        if hole >= 0:
            return place - len(before) + hole
        if end >= 0:
            return None
        place, before = place + len(block), data[-len(_HOLE) :]
    return None


def _zeros_are_blank(contents: list[bytes]) -> bool:
    """Whether zeros alone stand for blocks of one grey in every table: those that were made for a picture may do so."""
    tables = [table for content in contents for table in _tables(content)]
    return all(symbol == 0 for symbol in tables)


def _tables(content: bytes) -> Iterator[int]:
    """The symbol that the code of zeros stands for, of each table in a segment."""
    place = 0
    while place + 17 <= len(content):
        count = sum(content[place + 1 : place + 17])
        if count and place + 17 < len(content):
            yield content[place + 17]
        place += 17 + count
