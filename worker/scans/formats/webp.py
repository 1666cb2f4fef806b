"""The chunks of a WebP file that hold metadata. (RFC 9649, 2.7.)"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs

from worker.scans.formats.errors import FormatError

EXIF, XMP = b"EXIF", b"XMP "

_FLAGS = {EXIF: 0x08, XMP: 0x04}
_EXTENDED = b"VP8X"
_OF_PIXELS = {_EXTENDED, b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
_MOST_BYTES = 16 << 20  # of one chunk's content; more is hostile
_MOST_CHUNKS = 10_000
_LAST_BYTES = 16  # of a picture's data; a decoder reads the last code beyond the end, and it is shorter than this
_FEWEST_BYTES = 64  # the data of a picture with more than one colour are longer


def read_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """EXIF and XMP; if the file is cut short, those before the cut. Chunks that are unknown or too long have an empty
    content.
    """
    with path.open("rb") as file:
        for chunk_type, length in _heads(file):
            if chunk_type in _FLAGS and length <= _MOST_BYTES:
                yield chunk_type, file.read(length)
            elif chunk_type not in _OF_PIXELS:
                yield chunk_type, b""


def _heads(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Type and length of each chunk. When it is yielded, the file is at the chunk's content."""
    place = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        chunk_type, length = struct.unpack("<4sI", head)
        yield chunk_type, length
        place += 8 + length + length % 2


def refuse_hole(path: Path) -> None:
    """Raises FormatError if the decoder does not need the last part of the picture's data.

    A decoder accepts any bytes as codes. After a hole, it reads the codes at wrong places, and the picture is complete
    before the data end. A sound file needs all but the last few bytes. So a copy is tried that ends earlier.
    """
    data = _picture(path)
    if data is None or len(data[1]) <= _FEWEST_BYTES:
        return
    name, content = data
    length = len(content) - _LAST_BYTES
    chunk = (name, struct.pack("<I", length), memoryview(content)[:length], b"\0" * (length % 2))
    size = 4 + sum(map(len, chunk))
    try:
        imagecodecs.webp_decode(b"".join((b"RIFF", struct.pack("<I", size), b"WEBP", *chunk)))
    except (imagecodecs.WebpError, ValueError):
        return
    raise FormatError("the picture is full before its data end")


def _picture(path: Path) -> tuple[bytes, bytes] | None:
    """The name and content of the picture's chunk; None for an animation, or if the chunk is not complete."""
    with path.open("rb") as file:
        for name, length in _heads(file):
            if name in (b"VP8 ", b"VP8L"):
                content = file.read(length)
                return (name, content) if len(content) == length else None
    return None


def add_chunks(path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    """Append EXIF and XMP to a WebP file with an extended header, which every file with a profile has."""
    with path.open("r+b") as file:
        head = file.read(21)
        assert head[12:16] == _EXTENDED, head[12:16]
        file.seek(0, os.SEEK_END)
        flags = head[20]
        for chunk_type, content in chunks:
            file.write(struct.pack("<4sI", chunk_type, len(content)) + content + b"\0" * (len(content) % 2))
            flags |= _FLAGS[chunk_type]
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
        file.seek(20)
        file.write(bytes([flags]))
