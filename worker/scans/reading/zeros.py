"""Decides whether zeros in a JPEG's coded data belong to the picture or fill a hole.

A damaged copy has zeros where data were lost, and libjpeg reads zeros as codes like any others. So copies that end
earlier show how much of the data the picture needs. A sound file needs all coded data: without the last byte there is
too little. After a hole, the codes are read at wrong places, and the picture is complete before the data end.
"""

import os
import re
from pathlib import Path

import pyvips

from worker.scans.formats.errors import FormatError
from worker.scans.formats.jpeg.segments import copy_with_clean_head
from worker.scans.reading.scan_file import ScanFile
from worker.scans.reading.strictness import words_of_reading

_ENOUGH = 2  # bytes: the last one of the coded data, and the zero that follows it if it is FF
_END = b"\xff\xd9"
_TOO_LITTLE = re.compile("Corrupt JPEG data|Premature end")  # libjpeg's messages, jerror.h


def refuse_holes(file: ScanFile) -> None:
    """Raises FormatError if zeros stand for lost pixels."""
    zeros = file.structure.jpeg_zeros
    if zeros is None:
        return
    copy = file.beside("shortened")
    try:
        if zeros.is_tail_doubtful and _is_too_little(file, copy, zeros.tail):
            raise FormatError(f"its last {zeros.tail:,} bytes before the end marker are zeros")
        if zeros.is_middle_doubtful and not _is_too_little(file, copy, zeros.tail + _ENOUGH):
            raise FormatError("there are zeros in its coded data, and some of the data are left over")
        if zeros.is_tail_flat and _needs_a_part(file, copy, zeros.tail):
            raise FormatError(f"of the {zeros.tail:,} zeros before its end marker the picture needs a part")
    finally:
        copy.unlink(missing_ok=True)


def _needs_a_part(file: ScanFile, copy: Path, tail: int) -> bool:
    """Whether the picture needs only a part of the tail. Then the tail is neither padding nor a blank end."""
    return _is_too_little(file, copy, tail) and not _is_too_little(file, copy, _ENOUGH)


def _is_too_little(file: ScanFile, copy: Path, left_out: int) -> bool:
    """Whether pixels are missing without the last `left_out` bytes of the coded data."""
    zeros = file.structure.jpeg_zeros
    assert zeros is not None
    copy_with_clean_head(file.path, copy)
    behind = file.structure.size_bytes - zeros.end
    with copy.open("r+b") as shortened:
        shortened.truncate(max(0, shortened.seek(0, os.SEEK_END) - behind - left_out))
        shortened.seek(0, os.SEEK_END)
        shortened.write(_END)

    def read() -> float:
        # The picture is read at its full size: for a smaller one, libjpeg may skip the codes of the last rows.
        image = pyvips.Image.jpegload(str(copy), access="sequential", fail_on="warning")
        return float(image.avg())

    return bool(_TOO_LITTLE.search(words_of_reading(read)))
