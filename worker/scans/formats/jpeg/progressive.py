"""Finds holes in a progressive JPEG: zeros in a scan of AC coefficients that no encoder writes.

ITU-T T.81: G.1.2.2 (first scans: runs and values), G.1.2.3 (refinement: a bit for each coefficient that is not zero).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from worker.scans.formats.jpeg.holes import AC, PADDING, symbols_of_zeros

_TABLES, _SCAN, _END = 0xC4, 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte nor a restart
_MAX_SCANS = 1_000
_FIRST = bytes(64)  # this many equal values in a row
_REFINEMENT = bytes(512)  # this many unchanged values; damaged copies lose sectors of this size


@dataclass(frozen=True, slots=True)
class _Scan:
    """The places of its coded data, its header, and for each table the symbol whose code is all zeros."""

    start: int
    end: int
    header: bytes
    symbols: dict[int, int]

    @property
    def hole(self) -> bytes:
        """A run of zeros that it can't have; empty if it may have any number of zeros."""
        first_coefficient, is_refinement = self.header[-3], self.header[-1] >> 4
        if not first_coefficient:
            return b""  # DC coefficients: a blank picture has only zeros
        if is_refinement:
            return _REFINEMENT
        symbol = self.symbols.get(AC + self.header[2] % 16, 0)
        return _FIRST if symbol % 16 else b""  # a symbol without a value ends blank blocks


def progressive_hole_at(file: BinaryIO) -> int | None:
    """The byte at which zeros begin that a scan can't have; None if there are none."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for scan in _scans(data, 2):
            at = data.find(scan.hole, scan.start, scan.end) if scan.hole else -1
            if at >= 0 and data[at : scan.end].strip(PADDING):
                return at
    return None


def _scans(data: mmap, place: int) -> Iterator[_Scan]:
    symbols: dict[int, int] = {}
    count = 0
    while (found := _MARKER.search(data, place)) and count < _MAX_SCANS:
        marker, at = found[0][1], found.end()
        if marker == _END:
            return
        content = data[at + 2 : at + int.from_bytes(data[at : at + 2], "big")]
        place = at + 2 + len(content)
        if marker == _TABLES:
            symbols |= symbols_of_zeros([content])
        elif marker == _SCAN and len(content) >= 6:
            following = _MARKER.search(data, place)
            yield _Scan(place, following.start() if following else len(data), content, dict(symbols))
            count += 1
