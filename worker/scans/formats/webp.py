"""The chunks of a WebP file that hold what it says beside its pixels. (RFC 9649, 2.7.)"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

EXIF, XMP = b"EXIF", b"XMP "

_FLAGS = {EXIF: 0x08, XMP: 0x04}
_EXTENDED = b"VP8X"
_OF_PIXELS = {_EXTENDED, b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
_MOST_BYTES = 16 << 20  # of one chunk's content; more is hostile
_MOST_CHUNKS = 10_000


def read_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """EXIF and XMP, as far as the file is whole; chunks that are unknown, or too long, come without their content."""
    with path.open("rb") as file:
        file.seek(12)
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return
            chunk_type, length = struct.unpack("<4sI", head)
            if chunk_type in _FLAGS and length <= _MOST_BYTES:
                yield chunk_type, file.read(length)
                file.seek(length % 2, os.SEEK_CUR)
            else:
                if chunk_type not in _OF_PIXELS:
                    yield chunk_type, b""
                file.seek(length + length % 2, os.SEEK_CUR)


def add_chunks(path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    """Put EXIF and XMP at the end of a WebP file that has an extended header, as any with a profile has."""
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
