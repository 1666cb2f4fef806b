"""A stream of pixel strips that libvips reads while it encodes, so that a whole colour image is never in memory.

Without a file on disk, libvips reads pixels piece by piece only in its file formats. The simplest format is
uncompressed TIFF: a header made here, and then the bytes of the strips. (BigTIFF, by libtiff's design note; TIFF 6.0,
section 8.)
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyvips

from worker.arrays import Pixels
from worker.scans.formats.tiff.header import tiff_header
from worker.scans.geometry import Shape


def image_of(pixels: Pixels) -> pyvips.Image:
    """RGB or RGBA (height, width, bands) in memory as a libvips image, without copying."""
    height, width, bands = pixels.shape
    pixel_type, colours = ("uchar", "srgb") if pixels.itemsize == 1 else ("ushort", "rgb16")
    return pyvips.Image.new_from_memory(pixels, width, height, bands, pixel_type).copy(interpretation=colours)


class PixelStream:
    """An uncompressed TIFF that exists only while libvips reads it, once, from its beginning to its end."""

    def __init__(self, strips: Iterator[Pixels], shape: Shape, rows: int) -> None:
        """`strips` gives arrays (rows, width, bands) in native byte order; the last one may have fewer rows.

        A strip may be overwritten when the next one is requested.
        """
        self._error: Exception | None = None  # what `strips` raised
        # It is kept here, because libvips calls this Python object but holds no reference to it.
        self._source = pyvips.SourceCustom()
        self._strips = strips
        self._strip_bytes = rows * shape.row_bytes
        self._header = tiff_header(shape, rows)
        self._size = len(self._header) + shape.bytes
        self._place = 0
        self._number, self._strip = -1, memoryview(b"")

    def image(self) -> pyvips.Image:
        """The image. Its pixels are read later, so this stream must outlive it."""
        self._source.on_read(self._read)
        self._source.on_seek(self._seek)
        return pyvips.Image.tiffload_source(self._source, access="sequential", fail_on="error")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, pixel_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the exception of the strips. libvips can only report that it read nothing."""
        # The strips are freed at once. The rest of this stream is in a cycle of references through libvips.
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
        """The strip with this number. Strips come only in order, but each may be read in several pieces."""
        while self._number < number:
            self._strip = next(self._strips).data.cast("B")
            self._number += 1
        assert self._number == number, f"strip {number} was asked for again after strip {self._number}"
        return self._strip

    def _seek(self, offset: int, whence: int) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place
