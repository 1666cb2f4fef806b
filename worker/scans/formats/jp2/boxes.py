"""The boxes of a JPEG 2000 file: everything around its codestream. (ISO/IEC 15444-1, annex I.)

EXIF, IPTC and XMP are in `uuid` boxes. XMP's is defined in ISO 16684-3; the others are those that ExifTool and
Photoshop use.
"""

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from worker.scans.formats.metadata_limits import MAX_TOTAL_BYTES
from worker.scans.formats.resolution import MOST_PER_MILLIMETRE
from worker.system.whole_files import write_beside_then_rename

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
EXIF = b"JpgTiffExif->JP2"
IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
PHOTOSHOP = bytes.fromhex("2c4c0100850440b9a03e562148d6dfeb")

SRGB, GREY, SYCC, CMYK = 16, 17, 18, 12  # enumerated colour spaces
_COLOUR, _ALPHA, _MULTIPLIED_ALPHA = 0, 1, 2  # kinds of channels
_WHOLE, _NONE = 0, 0xFFFF  # a channel that belongs to the whole image, or to no colour
_MAX_BOXES = 10_000
_MAX_BYTES = MAX_TOTAL_BYTES  # of all boxes whose contents are read; a codestream is not one of them
_CODESTREAM_TO_THE_END = struct.pack(">I4s", 0, b"jp2c")
# Boxes that contain other boxes. Each is read only inside those before it, so that a hostile file can't be endlessly
# deep.
_AROUND_OTHERS = (b"jp2h", b"res ")
_FILE_TYPE = b"jp2 \0\0\0\0jp2 "


@dataclass(slots=True)
class Boxes:
    """The contents of a file's boxes. `end` is the smallest size, in bytes, that the complete file can have."""

    codestream_at: int = 0
    codestream_end: int = 0
    end: int = 0
    size: tuple[int, int] | None = None  # width and height by ihdr
    colour_space: int | None = None
    profile: bytes | None = None
    palette: bytes | None = None  # from pclr: the colours by number
    # From cmap: for each channel, its component and its column of the palette.
    palette_mapping: bytes = b""
    alpha_channels: tuple[int, ...] | None = None  # None if the file does not describe its channels
    has_odd_channels: bool = False  # colours multiplied by alpha, or in another order
    per_millimetre: tuple[float, float] | None = None
    uuids: dict[bytes, bytes] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)  # types of boxes whose contents are not used


def read_boxes(path: Path) -> Boxes:
    """The boxes of a JP2 file or of a bare codestream. If the file is cut short, these are the boxes before the cut."""
    boxes, size, bytes_left = Boxes(), path.stat().st_size, _MAX_BYTES
    with path.open("rb") as file:
        if file.read(4) == CODESTREAM:
            boxes.codestream_end = boxes.end = size
            return boxes
        for box_type, start, end in _walk(file, 0, size):
            boxes.end = max(boxes.end, end)
            if box_type == b"jp2c" and not boxes.codestream_end:
                boxes.codestream_at, boxes.codestream_end = start, end
            elif end <= size and end - start <= bytes_left:
                bytes_left -= end - start
                _take(boxes, box_type, file, start, end)
            elif end <= size and box_type != b"free":
                boxes.unread.append(_name(box_type))
    return boxes


def _walk(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The type, first byte of the content, and end of each box. The last box may end beyond the file."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        head = file.read(min(16, end - start))
        length, box_type = struct.unpack(">I4s", head[:8])
        content = start + 8
        if length == 1 and len(head) == 16:
            length, content = int.from_bytes(head[8:], "big"), start + 16
        stop = end if length == 0 else start + length
        if stop < content:
            return
        yield box_type, content, stop
        start = stop


def _take(boxes: Boxes, box_type: bytes, file: BinaryIO, start: int, end: int, around: int = 0) -> None:
    """Store what a box says. `around`: the number of boxes that contain it."""
    if box_type in _AROUND_OTHERS[around:]:
        for inner, first, last in _walk(file, start, end):
            if last <= end:
                _take(boxes, inner, file, first, last, _AROUND_OTHERS.index(box_type) + 1)
        return
    file.seek(start)
    content = file.read(end - start)
    if box_type == b"ihdr" and len(content) >= 8 and boxes.size is None:
        height, width = struct.unpack_from(">II", content)
        boxes.size = width, height
    elif box_type == b"colr":
        _take_colour(boxes, content)
    elif box_type == b"pclr":
        boxes.palette = content
    elif box_type == b"cmap":
        boxes.palette_mapping = content
    elif box_type == b"cdef":
        channels = list(struct.iter_unpack(">HHH", content[2 : 2 + (len(content) - 2) // 6 * 6]))
        boxes.alpha_channels = tuple(
            number for number, box_type, _ in channels if box_type in (_ALPHA, _MULTIPLIED_ALPHA)
        )
        boxes.has_odd_channels = any(
            box_type == _MULTIPLIED_ALPHA or (box_type == _COLOUR and colour not in (_WHOLE, _NONE, number + 1))
            for number, box_type, colour in channels
        )
    elif box_type == b"resc" or (box_type == b"resd" and boxes.per_millimetre is None):
        boxes.per_millimetre = _resolution(content)
    elif box_type == b"uuid" and content[:16] in {XMP, EXIF, IPTC, PHOTOSHOP} - boxes.uuids.keys():
        boxes.uuids[content[:16]] = content[16:]
    elif box_type not in (b"jP  ", b"ftyp", b"ihdr", b"bpcc", b"rreq", b"free"):
        boxes.unread.append(_name(box_type))


def _name(box_type: bytes) -> str:
    return box_type.decode("latin-1").strip()


def _take_colour(boxes: Boxes, content: bytes) -> None:
    """Store the colours of the first colour box that can be understood; readers use only this one."""
    if boxes.colour_space is not None or boxes.profile is not None:
        return
    if content[:1] == b"\1" and len(content) >= 7:
        boxes.colour_space = int.from_bytes(content[3:7], "big")
    elif content[:1] in (b"\2", b"\3"):
        boxes.profile = content[3:]


def _resolution(content: bytes) -> tuple[float, float] | None:
    """The resolution across and down, in pixels per millimetre. (I.5.3.7.)"""
    if len(content) < 10:
        return None
    down, down_by, across, across_by, down_power, across_power = struct.unpack(">HHHHbb", content[:10])
    if not (down and down_by and across and across_by):
        return None
    resolution = across / across_by * 10.0 ** (across_power - 3), down / down_by * 10.0 ** (down_power - 3)
    return resolution if max(resolution) < MOST_PER_MILLIMETRE else None


def box(box_type: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), box_type) + content


def head_of(
    width: int,
    height: int,
    bands: int,
    bit_depth: int,
    *,
    profile: bytes,
    per_millimetre: tuple[float, float] | None,
) -> bytes:
    """The bytes before the codestream of an sRGB image, RGB or RGBA. The codestream must be the last part
    of the file.
    """
    inner = box(b"ihdr", struct.pack(">IIHBBBB", height, width, bands, bit_depth - 1, 7, 0, 0))
    # The simplest readers use only the first colour box, and can't read profiles.
    inner += box(b"colr", struct.pack(">BBBI", 1, 0, 0, SRGB)) + box(b"colr", b"\2\0\0" + profile)
    if bands == 4:
        channels = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, _ALPHA, 0)]
        inner += box(b"cdef", struct.pack(">H12H", 4, *(number for channel in channels for number in channel)))
    if per_millimetre:
        inner += box(b"res ", box(b"resc", _packed_resolution(per_millimetre)))
    return SIGNATURE + box(b"ftyp", _FILE_TYPE) + box(b"jp2h", inner) + _CODESTREAM_TO_THE_END


def wrapped(codestream: bytes, boxes: Boxes, size: tuple[int, int], components: int, bits: int) -> bytes:
    """A JPEG 2000 file with this codestream and the colours of `boxes`, for a decoder that applies them.

    `size` is (width, height) of the codestream's image.
    """
    inner = box(b"ihdr", struct.pack(">IIHBBBB", size[1], size[0], components, bits - 1, 7, 0, 0))
    inner += box(b"colr", struct.pack(">BBBI", 1, 0, 0, SYCC if boxes.colour_space == SYCC else SRGB))
    if boxes.palette is not None:
        inner += box(b"pclr", boxes.palette) + box(b"cmap", boxes.palette_mapping)
    return SIGNATURE + box(b"ftyp", _FILE_TYPE) + box(b"jp2h", inner) + box(b"jp2c", codestream)


def add_uuids(path: Path, uuids: dict[bytes, bytes]) -> None:
    """Insert `uuid` boxes before the codestream of a file that Photochrom wrote."""
    if not uuids:
        return
    place = read_boxes(path).codestream_at - len(_CODESTREAM_TO_THE_END)
    with write_beside_then_rename(path) as new, path.open("rb") as old, new.open("wb") as file:
        file.write(old.read(place))
        file.write(b"".join(box(b"uuid", box_type + content) for box_type, content in uuids.items()))
        shutil.copyfileobj(old, file, 1 << 20)


def _packed_resolution(per_millimetre: tuple[float, float]) -> bytes:
    across, down = (round(number * 10_000) for number in per_millimetre)  # pixels per 10 metres
    parts, powers = [], []
    for number in (down, across):
        power = 0
        while number > 0xFFFF:
            number, power = round(number / 10), power + 1
        parts += [max(1, number), 10]
        powers.append(power)
    return struct.pack(">HHHHbb", *parts, *powers)
