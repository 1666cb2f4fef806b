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
_SECTOR = 512  # bytes; a broken copy leaves no smaller hole
_PADDING = b"\0\xff"


def hole_at(file: BinaryIO) -> int | None:
    """The byte from which on the coded data are zeros that can't be a picture's; None where there are none.

    Where the channels come in several scans, each with tables of its own, none is looked for.
    """
    file.seek(2)
    segments = list(head_segments(file))
    frame = next((content for marker, content in segments if marker in _BASELINE), b"")
    selectors = _selectors(file)
    if len(frame) < 6 or len(selectors) != frame[5]:
        return None
    symbols = _symbols_of_zeros([content for marker, content in segments if marker == _TABLES])
    # Tables that were made for a picture may have codes of zeros that stand for blocks of one grey.
    if all(symbols.get(table, 0) == 0 for table in _tables_of(selectors)):
        return None
    return _first_hole(file)


def _selectors(file: BinaryIO) -> bytes:
    """A scan's choice of tables, a byte for each of its channels; the file is read up to its coded data."""
    content = file.read(max(0, int.from_bytes(file.read(2), "big") - 2))
    return content[2 : 1 + 2 * content[0] : 2] if content else b""


def _tables_of(selectors: bytes) -> set[int]:
    """The tables that are named, as they name themselves: 16 more where they are for AC coefficients."""
    return {selector >> 4 for selector in selectors} | {16 + selector % 16 for selector in selectors}


def _first_hole(file: BinaryIO) -> int | None:
    """Where the first zeros lie before the picture's end; a few at the very end only fill it up."""
    place, before, hole = file.tell(), b"", None
    while block := file.read(_BLOCK):
        data, start = before + block, place - len(before)
        end = data.find(_END)
        coded = data[:end] if end >= 0 else data
        if hole is None and (zeros_at := coded.find(_HOLE)) >= 0:
            hole = start + zeros_at
        if hole is not None and coded[max(0, hole - start) :].strip(_PADDING):
            return hole
        if end >= 0:
            return hole if hole is not None and start + end - hole >= _SECTOR else None
        place, before = place + len(block), data[-len(_HOLE) :]
    return hole


def _symbols_of_zeros(contents: list[bytes]) -> dict[int, int]:
    """By table, in its last definition: the symbol that the code of zeros stands for."""
    return dict(table for content in contents for table in _tables(content))


def _tables(content: bytes) -> Iterator[tuple[int, int]]:
    """Each table in a segment, and the symbol that its code of zeros stands for."""
    place = 0
    while place + 17 <= len(content):
        count = sum(content[place + 1 : place + 17])
        if count and place + 17 < len(content):
            yield content[place], content[place + 17]
        place += 17 + count
