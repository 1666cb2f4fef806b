"""The segments of a JPEG file that hold metadata. (ITU-T T.81, B.1; T.871; CIPA DC-008, 4.7.)"""

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from worker.scans.formats.resolution import UNKNOWN_RESOLUTION
from worker.system.whole_files import write_beside_then_rename

APP0, APP1, APP13, COMMENT = 0xE0, 0xE1, 0xED, 0xFE
EXIF, XMP, PHOTOSHOP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
MOST_BYTES = 0xFFFF - 2  # of one segment's content
MOST_XMP_BYTES = MOST_BYTES - len(XMP)

_START_OF_SCAN, _END = 0xDA, 0xD9
_ADOBE_MARKER = 0xEE
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # markers of frames
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without content
_MAX_SEGMENTS = 10_000
_MAX_APPLICATION_SEGMENTS = 300  # a profile has 255 of them at most
_MAX_STRAY = 1 << 16  # bytes between the segments of a head; a file with more is no JPEG
_MAX_LETTERS = 32
_OF_PIXELS = {(0xE0, b"JFIF"), (0xE0, b"JFXX"), (0xE2, b"ICC_PROFILE"), (0xEE, b"Adobe")}

Segment = tuple[int, bytes]  # its marker's second byte, its content


def read_segments(path: Path) -> Iterator[Segment]:
    """The application segments and comments before the pixels. If the file is cut short, those before the cut."""
    with path.open("rb") as file:
        file.seek(2)
        for _ in range(_MAX_SEGMENTS):
            head = file.read(4)
            if head[:2] == b"\xff\xff":  # a marker may have any number of these before it (T.81, B.1.1.2)
                file.seek(-3, os.SEEK_CUR)
                continue
            if len(head) < 4 or head[0] != 0xFF or head[1] in (_START_OF_SCAN, _END):
                return
            length = int.from_bytes(head[2:], "big") - 2
            content = file.read(max(0, length))
            if length < 0 or len(content) < length:
                return
            if head[1] == COMMENT or head[1] & 0xF0 == APP0:
                yield head[1], content


def name_of_other(segment: Segment) -> str | None:
    """The name that an unknown segment gives itself; None for segments of pixels and profiles."""
    marker, content = segment
    if (marker, content.partition(b"\0")[0]) in _OF_PIXELS:
        return None
    letters = content[:_MAX_LETTERS].partition(b"\0")[0].decode("ascii", "replace")
    return f"APP{marker - APP0} {letters if letters.isprintable() else ''}".rstrip()


def jfif(per_millimetre: tuple[float, float]) -> Segment:
    """The JFIF segment with the resolution, in whole pixels per inch. (T.871, 10.1.)"""
    densities = [round(density * 25.4) for density in per_millimetre]
    is_known = all(0 < density <= 0xFFFF for density in densities) and per_millimetre != UNKNOWN_RESOLUTION
    return APP0, b"JFIF\0\1\2" + struct.pack(">BHHBB", *((1, *densities) if is_known else (0, 1, 1)), 0, 0)


def _skip_jfif(file: BinaryIO) -> None:
    head = file.read(9)
    file.seek(2 + 2 + int.from_bytes(head[2:4], "big") if head[:2] == b"\xff\xe0" and head[4:] == b"JFIF\0" else 2)


def add_segments(path: Path, segments: list[Segment]) -> None:
    """Insert segments into a JPEG file before all others. Each content has at most MOST_BYTES."""
    with write_beside_then_rename(path) as new, path.open("rb") as old, new.open("wb") as file:
        file.write(old.read(2))
        _skip_jfif(old)
        for marker, content in segments:
            file.write(bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content)
        shutil.copyfileobj(old, file, 1 << 20)


def has_several_scans(path: Path) -> bool:
    """Whether the pixels come in several passes, as in a progressive JPEG."""
    with path.open("rb") as file:
        return is_progressive(file)


def is_progressive(file: BinaryIO) -> bool:
    """As `has_several_scans`, for an open file."""
    file.seek(2)
    return any(marker in _PROGRESSIVE for marker, _ in head_segments(file))


def copy_with_clean_head(path: Path, target: Path) -> None:
    """Copy a JPEG without everything before the pixels that libjpeg warns of: stray bytes, unknown versions, damaged
    profiles.
    """
    with path.open("rb") as file, target.open("wb") as copy:
        copy.write(b"\xff\xd8")
        file.seek(2)
        application_segments = 0
        for marker, content in head_segments(file):
            sound = _sound_segment(marker, content)
            if sound is None:
                continue
            is_application = marker & 0xF0 == APP0
            application_segments += is_application
            if not is_application or application_segments <= _MAX_APPLICATION_SEGMENTS:
                copy.write(bytes((0xFF, marker)) + (len(sound) + 2).to_bytes(2, "big") + sound)
        copy.write(bytes((0xFF, _START_OF_SCAN)))
        shutil.copyfileobj(file, copy, 1 << 20)


def _sound_segment(marker: int, content: bytes) -> bytes | None:
    """The content that decoding needs, in a form that libjpeg accepts; None for other segments."""
    if not (marker & 0xF0 == APP0 or marker == COMMENT):
        return content
    if marker == APP0 and content.startswith(b"JFIF\0") and len(content) >= 14:
        return b"JFIF\0\1\2" + content[7:14] if content[7] <= 2 else None
    if marker == _ADOBE_MARKER and content.startswith(b"Adobe") and len(content) >= 12:
        return content if content[11] <= 2 else None
    return content if content.startswith((EXIF, b"ICC_PROFILE\0")) else None


def head_segments(file: BinaryIO) -> Iterator[Segment]:
    """All segments before the first scan, without stray bytes between them. The file is then behind the
    scan's marker.
    """
    stray = 0
    for _ in range(_MAX_SEGMENTS):
        byte = file.read(1)
        while byte and byte != b"\xff" and stray < _MAX_STRAY:
            byte, stray = file.read(1), stray + 1
        while byte == b"\xff":
            byte = file.read(1)
        marker = byte[0] if byte else _END
        if marker in (_START_OF_SCAN, _END):
            return
        if marker == 0 or marker in _ALONE:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        content = file.read(max(0, length))
        if length < 0 or len(content) < length:
            return
        yield marker, content
