"""The chunks of a PNG file that hold metadata or describe its colours.

ISO/IEC 15948, 5.3 and 11.3; PNG 3rd edition.

PNG has no chunk for IPTC. ImageMagick stores it as hexadecimal text, "Raw profile type", which ExifTool also reads.
"""

import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from worker.scans.formats.metadata_limits import MAX_TOTAL_BYTES, MAX_XMP_BYTES
from worker.system.whole_files import write_beside_then_rename

XMP = "XML:com.adobe.xmp"
RAW = "Raw profile type "
EXIF_NAMES = ("exif", "APP1")  # names of raw profiles

_SIGNATURE_AND_HEADER = 8 + 25
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_WANTED = (b"eXIf", *TEXTS)
# Chunks about the pixels, their colours, or the time of their last change.
_OF_PIXELS = {
    *(
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"tRNS",
        b"bKGD",
        b"hIST",
        b"sPLT",
        b"sBIT",
        b"pHYs",
        b"tIME",
        b"acTL",
        b"fcTL",
        b"fdAT",
    ),
    *(b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI"),
}
_OF_COLOUR = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
_EXIF_MARK = b"Exif\0\0"
_MAX_PROFILE_BYTES = 4 << 20
_MAX_CHUNKS = 1_000_000

Chunk = tuple[bytes, bytes]  # its type, its content


def read_chunks(path: Path) -> Iterator[Chunk]:
    """EXIF and texts, before and after the pixels. If the file is cut short, those before the cut.

    Chunks that are unknown or too long have an empty content.
    """
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(_MAX_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return
            (length,) = struct.unpack(">I", head[:4])
            if head[4:] in _WANTED and length <= MAX_TOTAL_BYTES:
                yield head[4:], file.read(length)
                file.seek(4, os.SEEK_CUR)
            else:
                if head[4:] not in _OF_PIXELS:
                    yield head[4:], b""
                file.seek(length + 4, os.SEEK_CUR)


def read_colour_chunks(path: Path) -> dict[bytes, bytes]:
    """The chunks before the pixels that describe colours: the first one of each kind; its content is empty if it is too
    long.
    """
    contents: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(_MAX_CHUNKS):
            length, chunk_type = struct.unpack(">I4s", file.read(8).rjust(8, b"\0"))
            if chunk_type in (b"IDAT", b"IEND", bytes(4)):
                break
            content = file.read(length) if chunk_type in _OF_COLOUR and length <= MAX_TOTAL_BYTES else b""
            if chunk_type in _OF_COLOUR:
                contents.setdefault(chunk_type, content)
            file.seek(length - len(content) + 4, os.SEEK_CUR)
    return contents


def profile_of(content: bytes) -> bytes:
    """The ICC profile of an iCCP chunk. If it can't be unpacked, a single byte, which is not a profile."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(content.partition(b"\0")[2][1:], _MAX_PROFILE_BYTES) or b"\0"
    return b"\0"


def exif_of(path: Path) -> bytes | None:
    """EXIF from its chunk, which may come after the pixels, or from a text, as ImageMagick wrote it before PNG had this
    chunk.
    """
    older = None
    for chunk in read_chunks(path):
        if chunk[0] == b"eXIf":
            return chunk[1]
        if older is None and _keyword_of(chunk).removeprefix(RAW) in EXIF_NAMES:
            older = (raw_profile(_short_text_of(chunk) or b"") or b"").removeprefix(_EXIF_MARK)
    return older


def xmp_of(path: Path) -> bytes | None:
    """The XMP packet, from its own text or ImageMagick's; None if it is too long to be parsed."""
    for chunk in read_chunks(path):
        if _keyword_of(chunk) in (XMP, RAW + "xmp"):
            text = _short_text_of(chunk)
            return text if _keyword_of(chunk) == XMP else raw_profile(text or b"")
    return None


def _keyword_of(chunk: Chunk) -> str:
    return chunk[1].partition(b"\0")[0].decode("latin-1") if chunk[0] in TEXTS else ""


def _short_text_of(chunk: Chunk) -> bytes | None:
    try:
        return text_of(chunk, 2 * MAX_XMP_BYTES)[1]  # twice, because a raw profile is hexadecimal
    except TextTooLong:
        return None


class TextTooLong(ValueError):
    """A text is longer than the limit; the message is its keyword."""


def text_of(chunk: Chunk, max_bytes: int = MAX_TOTAL_BYTES) -> tuple[str, bytes | None]:
    """Keyword and text (in UTF-8) of a text chunk; None for a text that can't be read.

    Raises TextTooLong for more than `max_bytes`.
    """
    chunk_type, content = chunk
    keyword, _, payload = content.partition(b"\0")
    name = keyword.decode("latin-1")
    with suppress(zlib.error, UnicodeDecodeError, IndexError):
        if chunk_type == b"tEXt":
            text = payload.decode("latin-1").encode()
        elif chunk_type == b"zTXt":
            text = _unpacked(payload[1:], max_bytes, name).decode("latin-1").encode()
        else:
            packed, after = payload[0], payload[2:]
            stored = after.split(b"\0", 2)[2]
            text = _unpacked(stored, max_bytes, name) if packed else stored
        if len(text) > max_bytes:
            raise TextTooLong(name)
        return name, text
    return name, None


def stored_bytes_of_texts(path: Path) -> int:
    """The stored size of all texts, in bytes. Unpacked, they may have a thousand times this size."""
    with path.open("rb") as file:
        return sum(length for chunk_type, length in _walk(file) if chunk_type in TEXTS)


def copy_without_texts(path: Path, target: Path) -> None:
    """Copy a PNG without its texts."""
    with path.open("rb") as file, target.open("wb") as copy:
        copy.write(file.read(8))
        for chunk_type, length in _walk(file):
            if chunk_type not in TEXTS:
                copy.write(struct.pack(">I4s", length, chunk_type))
                _copy_bytes(file, copy, length + 4)


def _walk(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The type and length of each chunk. The file is then at the chunk's content, and may be left at any place."""
    place = 8
    for _ in range(_MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length, chunk_type = struct.unpack(">I4s", head)
        yield chunk_type, length
        if chunk_type == b"IEND":
            return
        place += 12 + length


def _copy_bytes(file: BinaryIO, copy: BinaryIO, length: int) -> None:
    while length > 0 and (data := file.read(min(length, 1 << 20))):
        copy.write(data)
        length -= len(data)


def has_language(chunk: Chunk) -> bool:
    """Whether a text that can be read names its language, or has a keyword in that language."""
    chunk_type, content = chunk
    return chunk_type == b"iTXt" and not content.partition(b"\0")[2][2:].startswith(b"\0\0")


def raw_profile(text: bytes) -> bytes | None:
    """The content of a "Raw profile type" text."""
    parts = text.split(None, 2)
    with suppress(ValueError, IndexError):
        data = bytes.fromhex(parts[2].decode("ascii"))
        return data if len(data) == int(parts[1]) else None
    return None


def text_chunk(keyword: str, text: bytes) -> Chunk:
    """`text` is UTF-8."""
    return b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text


def raw_profile_chunk(name: str, data: bytes) -> Chunk:
    lines = data.hex()
    text = f"\n{name}\n{len(data):8}\n" + "\n".join(lines[start : start + 72] for start in range(0, len(lines), 72))
    return b"zTXt", f"{RAW}{name}".encode() + b"\0\0" + zlib.compress(text.encode() + b"\n")


def add_chunks(path: Path, chunks: list[Chunk]) -> None:
    """Insert chunks into a PNG file, right after its header."""
    if not chunks:
        return
    with write_beside_then_rename(path) as new, path.open("rb") as old, new.open("wb") as file:
        file.write(old.read(_SIGNATURE_AND_HEADER))
        for chunk_type, content in chunks:
            checksum = zlib.crc32(chunk_type + content)
            file.write(struct.pack(">I", len(content)) + chunk_type + content + struct.pack(">I", checksum))
        shutil.copyfileobj(old, file, 1 << 20)


def _unpacked(data: bytes, max_bytes: int, name: str) -> bytes:
    """Raises TextTooLong; and zlib.error, also if the data are cut short."""
    packed = zlib.decompressobj()
    unpacked = packed.decompress(data, max_bytes + 1)
    if len(unpacked) > max_bytes:
        raise TextTooLong(name)
    if not packed.eof:
        raise zlib.error("no end")
    return unpacked
