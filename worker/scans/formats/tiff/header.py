"""The header that a TIFF stream begins with."""

import struct
import sys

from worker.scans.geometry import Shape

_ORDER, _MARK = ("<", b"II+\0") if sys.byteorder == "little" else (">", b"MM\0+")
_CODES = {3: "H", 4: "I", 16: "Q"}  # of TIFF's SHORT, LONG and LONG8
_DIRECTORY = 16  # where it begins


def tiff_header(shape: Shape, rows: int) -> bytes:
    """All of an uncompressed TIFF before its pixels; strips of `rows` lie one behind the other right after it.

    One or two bands are grey, three or four RGB; an even number has alpha.
    """
    strip_starts = range(0, shape.bytes, rows * shape.row_bytes)
    strip_bytes = [min(rows * shape.row_bytes, shape.bytes - start) for start in strip_starts]
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [shape.width]),
        (257, 4, [shape.height]),
        (258, 3, [shape.bit_depth] * shape.bands),
        (259, 3, [1]),  # uncompressed
        (262, 3, [2 if shape.bands > 2 else 1]),  # RGB, or grey whose 0 is black
        (273, 16, list(strip_starts)),
        (277, 3, [shape.bands]),
        (278, 4, [rows]),
        (279, 4, strip_bytes),
        (284, 3, [1]),  # channels side by side
    ]
    if shape.bands % 2 == 0:
        entries.append((338, 3, [2]))  # alpha, colours not multiplied by it
    values_at = _DIRECTORY + 8 + 20 * len(entries) + 8
    pixels_at = values_at + sum(_value_bytes(kind, values) for _, kind, values in entries)
    directory, outside = b"", b""
    for tag, kind, values in entries:
        shift = pixels_at if tag == 273 else 0
        packed = struct.pack(f"{_ORDER}{len(values)}{_CODES[kind]}", *(value + shift for value in values))
        field = packed.ljust(8, b"\0")
        if len(packed) > 8:
            field = struct.pack(_ORDER + "Q", values_at + len(outside))
            outside += packed
        directory += struct.pack(_ORDER + "HHQ", tag, kind, len(values)) + field
    head = _MARK + struct.pack(_ORDER + "HHQQ", 8, 0, _DIRECTORY, len(entries))
    return head + directory + bytes(8) + outside


def _value_bytes(kind: int, values: list[int]) -> int:
    """What an entry's values take outside of the directory."""
    length = len(values) * struct.calcsize("<" + _CODES[kind])
    return length if length > 8 else 0
