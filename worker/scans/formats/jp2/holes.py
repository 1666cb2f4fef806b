"""Finds holes in JPEG 2000 data: zeros and markers in places where no encoder writes them.

A decoder accepts any bytes as codes and makes a picture of them without a warning. ISO/IEC 15444-1: B.10.1 and C.2.4
(no two bytes above FF 8F in coded data), B.10.3 (an empty packet takes a byte of zeros), B.10.4 (a bit for each
code-block), D.4.
"""

import re
import struct

from worker.scans.formats.errors import FormatError

_FEWEST_ZEROS = 64  # bytes: an arithmetic coder's output looks random, so it has no such run of zeros
_MARKER = re.compile(b"\xff[\x90\x93-\xff]")  # without FF 91 and FF 92, which may stand between packets
_OTHER_CODERS = 0x41  # code-block styles: some passes in plain bits, or high throughput
_SHORTEST = 10


def zeros_of_hole(coding: bytes, precincts: int, pixels: int) -> int | None:
    """The length of a run of zeros that can't be empty packets; None if coded data may have any number of zeros.

    coding: the content of the marker COD; precincts: the largest number in a tile, over all components; pixels: of one
    component of a tile.
    """
    if len(coding) < _SHORTEST or coding[8] & _OTHER_CODERS:
        return None
    layers = struct.unpack_from(">H", coding, 2)[0]
    # In a later layer, a code-block that is complete, or has no data in this layer, adds one zero bit to its packet.
    of_blocks = 0 if layers == 1 else (pixels >> coding[6] % 16 + coding[7] % 16 + 4) // 8
    return int(_FEWEST_ZEROS + layers * precincts + of_blocks)


def refuse_hole(coded: bytes, zeros: int) -> None:
    """Raises FormatError if no encoder can have written these data of a tile-part."""
    if (at := coded.find(bytes(zeros))) >= 0:
        raise FormatError(f"has {zeros:,} zeros from byte {at:,} of a tile on")
    if found := _MARKER.search(coded):
        raise FormatError(f"has the marker {found[0].hex(' ').upper()} among the codes of a tile")
