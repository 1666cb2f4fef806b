"""Strips of pixels that libvips pulls as it encodes them, so that a colour image is nowhere held whole.

Without a file on disk, libvips takes pixels piece by piece in its file formats alone. The plainest is uncompressed
TIFF: a header made here, and then the strips' own bytes. (BigTIFF, by libtiff's design note; TIFF 6.0, section 8.)
"""

import struct
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyvips

from worker.arrays import Pixels
from worker.scans.geometry import Shape

_ORDER, _MARK = ("<", b"II+\0") if sys.byteorder == "little" else (">", b"MM\0+")
_CODES = {3: "H", 4: "I", 16: "Q"}  # of TIFF's SHORT, LONG and LONG8
_DIRECTORY = 16  # where it begins


def image_of(pixels: Pixels) -> pyvips.Image:
    """RGB or RGBA (height, width, bands) that lies in memory as a libvips image, not copied."""
    height, width, bands = pixels.shape
    kind, colours = ("uchar", "srgb") if pixels.itemsize == 1 else ("ushort", "rgb16")
    return pyvips.Image.new_from_memory(pixels, width, height, bands, kind).copy(interpretation=colours)


class PixelStream:
    """An uncompressed TIFF that exists only while libvips reads it, once, from its beginning to its end."""

    def __init__(self, strips: Iterator[Pixels], shape: Shape, rows: int) -> None:
        """`strips` gives (rows, width, bands) of native byte order, the last one may have fewer rows.

        A strip may be overwritten once the next one is asked for.
        """
        self._error: Exception | None = None  # what `strips` raised
        # Kept, since libvips calls back into this Python object, but does not hold it.
        self._source = pyvips.SourceCustom()
        self._strips = strips
        self._strip_bytes = rows * shape.row_bytes
        self._header = tiff_header(shape, rows)
        self._size = len(self._header) + shape.bytes
        self._place = 0
        self._number, self._strip = -1, memoryview(b"")

    def image(self) -> pyvips.Image:
        """The image, its pixels still to come; this stream must outlive it."""
        self._source.on_read(self._read)
        self._source.on_seek(self._seek)
        return pyvips.Image.tiffload_source(self._source, access="sequential", fail_on="error")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise what the strips raised, of which libvips could only say that it read nothing."""
        # At once, for the rest of this stream is a cycle of references through libvips.
        self._strips, self._strip = iter(()), memoryview(b"")
        if self._error:
            raise self._error from None

    def _read(self, length: int) -> memoryview | None:
        if self._place < len(self._header):
            data = memoryview(self._header)[self._place : self._place + length]
        else:
            number, start = divmod(self._place - len(self._header), self._strip_bytes)
            try:
                data = self._strip_at(number)[start : start + length]
            except Exception as error:  # it can't pass through libvips; __exit__ raises it again
                self._error = error
                return None
        self._place += len(data)
        return data or None

    def _strip_at(self, number: int) -> memoryview:
        """Strips only ever come one after the other, though one may be read in pieces."""
        while self._number < number:
            self._strip = next(self._strips).data.cast("B")
            self._number += 1
        assert self._number == number, f"strip {number} was asked for again after strip {self._number}"
        return self._strip

    def _seek(self, offset: int, whence: int) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place


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
