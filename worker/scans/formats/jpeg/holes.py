"""Finds holes in a JPEG's pixels. A damaged copy has zeros there, which libjpeg reads as codes without a warning.

ITU-T T.81: B.1.1.5 (no FF D9 within coded data), C.2 (codes by their lengths: the first one is all zeros), F.1.2.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from worker.scans.formats.jpeg.segments import head_segments

_BASELINE = (0xC0, 0xC1)
_TABLES = 0xC4
_HOLE = bytes(64)
_HOLE_IN_BLOCKS = bytes(16)  # if zeros are codes of AC coefficients: at least 40 equal ones, as in no picture
_END = b"\xff\xd9"
# Some writers put a restart marker after the last interval too. T.81 does not allow it, and libjpeg skips it.
_RESTART_AT_THE_END = re.compile(rb"\xff[\xd0-\xd7]\Z")
_BLOCK = 1 << 20
AC = 16
_SECTOR = 512  # bytes; a broken copy leaves no smaller hole
PADDING = b"\0\xff"
_DOUBTFUL = bytes(8)  # fewer zeros than in a hole, but more than most pictures' codes have


@dataclass(frozen=True, slots=True)
class Zeros:
    """Zeros in a JPEG's coded data that may belong to the picture. Only decoding shows it; see reading.zeros.

    `end` is the first byte after the coded data, without a restart marker at their end; `tail` are the last bytes
    before `end`, which may be only padding.
    """

    end: int
    tail: int
    is_tail_doubtful: bool  # it is longer than most padding, and can't be codes of the picture
    is_middle_doubtful: bool
    is_tail_flat: bool  # it is as long as a hole, but may be codes of a blank end of the picture


def zeros_in(file: BinaryIO) -> int | Zeros | None:
    """The byte at which zeros begin that can't belong to the picture; or zeros that may belong to it; or None.

    If the channels come in several scans, each with its own tables, no zeros are looked for: libjpeg reads all coded
    data of such a file before it returns a pixel, and warns of data that are left over.
    """
    file.seek(2)
    segments = list(head_segments(file))
    frame = next((content for marker, content in segments if marker in _BASELINE), b"")
    selectors = _selectors(file)
    if len(frame) < 6 or len(selectors) != frame[5]:
        return None
    symbols = symbols_of_zeros([content for marker, content in segments if marker == _TABLES])
    # In tables that were made for one picture, a code that is all zeros may stand for blocks of one grey.
    tables = _tables_of(selectors)
    is_flat = all(symbols.get(table, 0) == 0 for table in tables)
    is_filling = any(symbols.get(table, 0) for table in tables if table >= AC)
    return _first_zeros(file, _HOLE_IN_BLOCKS if is_filling else _HOLE, is_flat=is_flat)


def _selectors(file: BinaryIO) -> bytes:
    """The tables that a scan uses, one byte for each channel. Afterwards the file is at the scan's coded data."""
    content = file.read(max(0, int.from_bytes(file.read(2), "big") - 2))
    return content[2 : 1 + 2 * content[0] : 2] if content else b""


def _tables_of(selectors: bytes) -> set[int]:
    """The numbers of the selected tables, as in the tables' own headers: AC tables have 16 added."""
    return {selector >> 4 for selector in selectors} | {AC + selector % 16 for selector in selectors}


def _first_zeros(file: BinaryIO, hole_bytes: bytes, *, is_flat: bool) -> int | Zeros | None:
    """The place of a hole, at least `hole_bytes` long and not at the very end, where zeros may be padding.

    Otherwise the doubtful zeros, or None.
    """
    place, before, hole, doubt = file.tell(), b"", None, None
    while block := file.read(_BLOCK):
        data, start = before + block, place - len(before)
        marker = data.find(_END)
        coded = _RESTART_AT_THE_END.sub(b"", data[:marker]) if marker >= 0 else data
        end = len(coded) if marker >= 0 else -1
        if doubt is None and (at := coded.find(_DOUBTFUL)) >= 0:
            doubt = start + at
        if hole is None and doubt is not None and (at := coded.find(hole_bytes)) >= 0:
            hole = start + at
        if not is_flat and hole is not None and coded[max(0, hole - start) :].strip(PADDING):
            return hole
        if end >= 0:
            return _zeros_before(file, start + end, doubt, is_flat=is_flat) if doubt is not None else None
        place, before = place + len(block), data[-len(_HOLE) :]
    return None if is_flat else hole


def _zeros_before(file: BinaryIO, end: int, doubt: int, *, is_flat: bool) -> int | Zeros | None:
    """The result for zeros up to the end of the coded data. `doubt`: the place of the first doubtful zeros."""
    tail = _tail(file, end)
    if not is_flat and tail >= _SECTOR:
        return end - tail
    return Zeros(
        end,
        tail,
        is_tail_doubtful=not is_flat and tail >= len(_HOLE),
        is_middle_doubtful=doubt < end - tail,
        is_tail_flat=is_flat and tail >= _SECTOR,
    )


def _tail(file: BinaryIO, end: int) -> int:
    """The number of bytes right before the end that are zeros or FF."""
    place, count = end, 0
    while place > 0:
        start = max(0, place - _BLOCK)
        file.seek(start)
        block = file.read(place - start)
        left = len(block.rstrip(PADDING))
        count += len(block) - left
        if left:
            break
        place = start
    return count


def symbols_of_zeros(contents: list[bytes]) -> dict[int, int]:
    """The symbol whose code is all zeros, for each table, by the table's last definition."""
    return dict(table for content in contents for table in _tables(content))


def _tables(content: bytes) -> Iterator[tuple[int, int]]:
    """The number of each table in a segment, and the symbol whose code is all zeros."""
    place = 0
    while place + 17 <= len(content):
        count = sum(content[place + 1 : place + 17])
        if count and place + 17 < len(content):
            yield content[place], content[place + 17]
        place += 17 + count
