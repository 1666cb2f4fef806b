"""Shows one page of a TIFF to libvips: the bytes of the file, followed by a new directory.

libtiff reads all directories of a file each time it opens it, and fails on tags that nobody needs. So it gets a view of
the file with a single directory, which has valid values for the tags that are needed for the pixels. Nothing is copied:
libvips reads the bytes through the view.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

import pyvips

from worker.scans.formats.tiff.ifd_reader import Entry, IfdReader
from worker.scans.formats.tiff.ifd_writer import pack_directory
from worker.scans.formats.tiff.layout import TiffPage, read_pieces
from worker.scans.formats.tiff.tags import FRACTION, UNIT_BYTES, Tag, Tags, long8, shorts

_CLASSIC_BYTES = (1 << 32) - (1 << 20)  # beyond this, a classic TIFF can't point to a directory
_HEAD_BYTES, _BIG_HEAD_BYTES = 8, 16
# Tags that hold places in the file: those of strips or tiles, and those of old JPEG's stream and tables.
_PLACES = (Tag.STRIP_OFFSETS, Tag.TILE_OFFSETS, 513, 519, 520, 521)
# Tags that libvips needs to decode a page and to know its colours, including old JPEG's (512 to 521).
_OF_PIXELS = {
    *(Tag.IMAGE_WIDTH, Tag.IMAGE_LENGTH, Tag.BITS_PER_SAMPLE, Tag.COMPRESSION, Tag.PHOTOMETRIC, Tag.FILL_ORDER),
    *(Tag.SAMPLES_PER_PIXEL, Tag.ROWS_PER_STRIP, Tag.PLANAR_CONFIG, Tag.T4_OPTIONS, Tag.T6_OPTIONS, Tag.PREDICTOR),
    *(Tag.COLOR_MAP, Tag.TILE_WIDTH, Tag.TILE_LENGTH, Tag.INK_SET, Tag.SAMPLE_FORMAT, Tag.JPEG_TABLES),
    *(Tag.YCBCR_COEFFICIENTS, Tag.YCBCR_SUBSAMPLING, Tag.YCBCR_POSITIONING, Tag.REFERENCE_BLACK_WHITE),
    *(Tag.X_RESOLUTION, Tag.Y_RESOLUTION, Tag.RESOLUTION_UNIT, Tag.ICC_PROFILE),
    *range(512, 522),
}
# A page can be decoded without these. A value of another tag beyond the file's end means that the file is cut.
_OPTIONAL = {
    *(Tag.X_RESOLUTION, Tag.Y_RESOLUTION, Tag.RESOLUTION_UNIT, Tag.ICC_PROFILE, Tag.FILL_ORDER, Tag.INK_SET),
    *(Tag.YCBCR_COEFFICIENTS, Tag.YCBCR_POSITIONING, Tag.REFERENCE_BLACK_WHITE),
}
# The valid values of tags that have a default. Any other value means the default, but libtiff would fail on it.
_SOUND = {
    Tag.FILL_ORDER: (1, 2),
    Tag.PLANAR_CONFIG: (1, 2),
    Tag.PREDICTOR: (1, 2, 3),
    Tag.RESOLUTION_UNIT: (1, 2, 3),
    Tag.SAMPLE_FORMAT: (1, 2, 3, 4, 5, 6),
    Tag.SAMPLES_PER_PIXEL: range(1, 1 << 16),
    Tag.ROWS_PER_STRIP: range(1, 1 << 32),
    Tag.YCBCR_POSITIONING: (1, 2),
    Tag.INK_SET: (1, 2),
}
_RESOLUTIONS = (Tag.X_RESOLUTION, Tag.Y_RESOLUTION)


def load_page(path: Path, page: TiffPage, fail_on: str) -> pyvips.Image:
    """The page as an image, which is decoded from top to bottom on demand. Raises pyvips.Error, FormatError."""
    with path.open("rb") as file:
        tags = pixel_tags(file, page)
    return load_directory(path, tags, fail_on)


def pixel_tags(file: BinaryIO, page: TiffPage) -> Tags:
    """The tags that are needed to read a page's pixels, with valid values. Raises FormatError."""
    reader = IfdReader(file)
    tags: Tags = {}
    for tag, entry in reader.entries(page.offset).items():
        if tag in _OF_PIXELS and entry.field_type in UNIT_BYTES and entry.count and not _is_left_out(reader, entry):
            value = reader.value(entry)
            if tag not in _SOUND or value.number() in _SOUND[Tag(tag)]:
                tags[tag] = value
    for tag in _RESOLUTIONS:
        if tag in tags and (tags[tag].field_type != FRACTION or not all(tags[tag].numbers()[:2])):
            del tags[tag]
    pieces = read_pieces(file, page)
    places = (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS) if page.is_tiled else (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS)
    for tag, numbers in zip(places, (pieces.starts, pieces.lengths), strict=True):
        tags[tag] = long8(*map(int, numbers.tolist()))
    if page.extra_samples:
        tags[Tag.EXTRA_SAMPLES] = shorts(*page.extra_samples)
    return tags


def _is_left_out(reader: IfdReader, entry: Entry) -> bool:
    """Whether a tag is optional and points beyond the file's end. `reader.value` raises EndsEarly for other tags."""
    return entry.tag in _OPTIONAL and reader.is_beyond(entry)


def load_directory(path: Path, tags: Tags, fail_on: str) -> pyvips.Image:
    """The image that `tags` describe in the bytes of a TIFF file. Raises pyvips.Error, FormatError."""
    view = _PageView(path, tags)
    image = pyvips.Image.tiffload_source(view.source, access="sequential", fail_on=fail_on)
    # libvips calls the view as long as pixels are read. pyvips passes these references on to all images that are made
    # from this one.
    image._references.append(view)
    return image


class _PageView:
    """A view of a file with another header and another end than on disk.

    A file that is too large for a classic TIFF becomes a BigTIFF, whose header is 8 bytes longer. Most pixels begin
    right after the short header, so everything after it lies 8 bytes further on in the view than on disk.
    """

    def __init__(self, path: Path, tags: Tags) -> None:
        self._file = path.open("rb", buffering=0)
        reader = IfdReader(self._file)
        order = reader.order
        is_big = reader.is_big or reader.size > _CLASSIC_BYTES
        self._shift = _BIG_HEAD_BYTES - _HEAD_BYTES if is_big and not reader.is_big else 0
        self._size = reader.size + self._shift
        end = -(-self._size // 16) * 16
        if self._shift:
            tags = _moved(tags, self._shift)
        mark = b"II" if order == "<" else b"MM"
        pointer = struct.pack(order + "HHHQ", 43, 8, 0, end) if is_big else struct.pack(order + "HI", 42, end)
        self._head = mark + pointer
        self._tail = bytes(end - self._size) + pack_directory(tags, end, order, big=is_big)
        self._place = 0
        self.source = pyvips.SourceCustom()
        self.source.on_read(self._read)
        self.source.on_seek(self._seek)

    def _read(self, length: int) -> bytes | None:
        place = self._place
        if place < len(self._head):
            data = self._head[place : place + length]
        elif place < self._size:
            data = os.pread(self._file.fileno(), min(length, self._size - place), place - self._shift)
        else:
            data = self._tail[place - self._size : place - self._size + length]
        self._place += len(data)
        return data or None

    def _seek(self, offset: int, whence: int) -> int:
        self._place = offset + (0, self._place, self._size + len(self._tail))[whence]
        return self._place


def _moved(tags: Tags, distance: int) -> Tags:
    """The tags of a page whose bytes lie further on. 0 is not a place: it means that there is nothing."""
    places = {tag: tags[tag].numbers() for tag in _PLACES if tag in tags}
    moved = {tag: long8(*(place and place + distance for place in numbers)) for tag, numbers in places.items()}
    return {**tags, **moved}
