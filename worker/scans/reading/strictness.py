"""Which of the decoders' warnings mean lost pixels: pixels are read so that any warning is a failure, and a file whose
warnings are known to be harmless is read again, less strictly.

jerror.h of libjpeg; tif_lzw.c, tif_packbits.c and tif_jpeg.c of libtiff.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import pyvips

from worker.scans.formats.jpeg.segments import copy_with_clean_head, has_several_scans
from worker.scans.reading.scan_file import ScanFile
from worker.scans.vips import last_line

Result = TypeVar("Result")

# libjpeg tells of its first warning alone: so what it warns of in a JPEG's head is mended there, and what comes then
# speaks of the pixels.
_HARMLESS = {
    "jpeg": re.compile("extraneous bytes before marker|JFIF revision|color transform code|bad ICC|SOS parameters"),
    "tiff": re.compile("not terminated with EOI|Discarding [0-9]+ bytes|extraneous bytes before marker|JFIF revision"),
}
_BEFORE_END = re.compile("([0-9]+) extraneous bytes before marker 0xd9")


def decoded(file: ScanFile, work: Callable[[], Result]) -> Result:
    """What `work` reads of the file; `work` is called again where libvips failed on what loses no pixel.

    Raises pyvips.Error.
    """
    while True:
        try:
            return work()
        except pyvips.Error as error:
            if not _is_relaxed(file, last_line(error)):
                raise


def _is_relaxed(file: ScanFile, warning: str) -> bool:
    """Whether the file is to be read again after this warning, and set for that."""
    if file.fails_on == "error" or file.format not in _HARMLESS or not _HARMLESS[file.format].search(warning):
        return False
    if file.format == "tiff":
        file.fails_on = "error"
        return True
    if file.read_from == file.path:
        target = file.beside("clean")
        copy_with_clean_head(file.path, target)
        file.read_from = target
        return True
    file.fails_on = "error"
    return _is_padding(file, warning)


def _is_padding(file: ScanFile, warning: str) -> bool:
    """Whether the bytes that libjpeg did not understand only fill up a JPEG behind the last of several scans."""
    stray = _BEFORE_END.search(warning)
    if stray is None or not has_several_scans(file.path):
        return False
    data = file.path.read_bytes()
    return any(bytes([byte]) * int(stray[1]) + b"\xff\xd9" in data for byte in (0, 0xFF))
