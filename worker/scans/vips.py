"""Sets libvips and OpenCV for a process that works on several scans at once, and turns libvips' errors into
ScanErrors.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import imagecodecs
import pyvips

from worker.errors import ScanError

# The kinds of samples that are read, by libvips' names: their bytes, and their value for white and for full alpha.
SAMPLE_BYTES = {"uchar": 1, "ushort": 2, "uint": 4, "float": 4}
FULL = {"uchar": 255, "ushort": 65535, "uint": (1 << 32) - 1, "float": 1}
WIDE = ("uint", "float")  # kinds that become 16 bits

SAYS_NO_MORE = "its decoder or encoder gives no details"
_SAYS_NOTHING = re.compile("^unable to |: (read|load|write) error$")
_SAYS_WHERE = re.compile("decompress error tile [0-9]+ x [0-9]+$")
_LOADERS = (
    "VipsForeignLoadJpegFile",
    "VipsForeignLoadPngFile",
    "VipsForeignLoadTiffFile",
    "VipsForeignLoadTiffSource",
    "VipsForeignLoadWebpFile",
    "VipsForeignLoadVipsFile",  # of rotated scans: only for files that Photochrom wrote
)


def configure_libraries(threads: int = 1) -> None:
    """Set up libvips and OpenCV for this process. Call it once, before the first scan and after any fork.

    libvips keeps threads after its first use, and a process that is forked then would wait for them for ever. So a
    parent that forks must not open a scan.

    `threads`: how many threads each of the two may use for one scan. There are as many children as cores, so one thread
    is right for them. Afterwards, no file can reach a decoder other than those of the formats of scans.
    """
    # Warnings of libvips about odd tags or padding bytes are common for sound scans, and they name scratch files.
    logging.getLogger("pyvips").setLevel(logging.ERROR)
    pyvips.concurrency_set(threads)
    cv2.setNumThreads(threads)
    # No scan is opened twice, so libvips' cache of operations would only hold memory.
    pyvips.cache_set_max(0)
    ErrorBuffer.count()
    remember_what_is_no_property()
    block_other_formats()


def block_other_formats() -> None:
    """Block all decoders except those of scans' formats.

    Every process that opens pictures calls this, if not `configure_libraries`, before its first one.
    """
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in _LOADERS:
        pyvips.operation_block_set(loader, False)


class ErrorBuffer:
    """libvips' error buffer, which the whole process shares. pyvips empties it when it makes an exception of its text.

    Code that looks for its own messages there must know whether an exception of another thread may have removed them.
    """

    times_emptied = 0

    @classmethod
    def count(cls) -> None:
        """Begin to count how often pyvips empties the buffer. pyvips has no other way to learn this."""
        take = pyvips.Error.__init__
        if getattr(take, "is_counted", False):
            return

        def counted(error: pyvips.Error, *arguments: object) -> None:
            # It counts before and after, so that code which reads the counter in between sees a change.
            cls.times_emptied += 1
            take(error, *arguments)
            cls.times_emptied += 1

        counted.is_counted = True  # type: ignore[attr-defined]
        pyvips.Error.__init__ = counted


def remember_what_is_no_property() -> None:
    """Remember which names are not properties of images, so that each is looked up only once.

    pyvips looks a name up before each call of a method of an image. A failed look-up makes an exception, which empties
    the error buffer.
    """
    look_up = pyvips.VipsObject.get_typeof
    if hasattr(look_up, "names"):
        return

    def remembered(thing: pyvips.VipsObject, name: str) -> int:
        is_image = isinstance(thing, pyvips.Image)
        if is_image and name in remembered.names:  # type: ignore[attr-defined]
            return 0
        found = int(look_up(thing, name))
        if is_image and not found:
            remembered.names.add(name)  # type: ignore[attr-defined]
        return found

    remembered.names = set[str]()  # type: ignore[attr-defined]
    pyvips.VipsObject.get_typeof = remembered


def cleared_errors() -> None:
    """Clear libvips' messages about earlier files."""
    pyvips.vips_lib.vips_error_clear()
    ErrorBuffer.times_emptied += 1


def words_kept() -> str:
    """libvips' messages since its errors were cleared. They may be about the files of other threads."""
    text = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())
    return str(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Gives a list of what libvips warns of meanwhile: libtiff's warnings reach no error buffer.

    What it warns of in another thread of Python is about another file. Its own threads, which decode this thread's
    file, are none of Python's.
    """
    warnings: list[str] = []
    opener = threading.current_thread()

    def keep(record: logging.LogRecord) -> bool:
        # A filter is called in the thread that warns.
        thread = threading.current_thread()
        is_own = thread is opener or isinstance(thread, threading._DummyThread)
        if is_own and record.levelno < logging.ERROR:
            warnings.append(record.getMessage().removeprefix("VIPS: "))
        return record.levelno >= logging.ERROR

    log = logging.getLogger("pyvips")
    level = log.level
    log.addFilter(keep)
    log.setLevel(logging.WARNING)
    try:
        yield warnings
    finally:
        log.setLevel(level)
        log.removeFilter(keep)


@contextmanager
def writing(key: str) -> Iterator[None]:
    """Turns errors of libvips and of the disk, while an output is written, into a ScanError that may pass."""
    try:
        yield
    except (pyvips.Error, imagecodecs.Jpeg2kError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else last_line(error)
        message = f"the output of {key} could not be written ({reason}); is the scratch disk full?"
        raise ScanError("unwritable", message, permanent=False) from None


def last_line(error: Exception) -> str:
    """The last useful line of libvips' message, for the end of our message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not _SAYS_NOTHING.search(line)]
    reasons = [line for line in telling if not _SAYS_WHERE.search(line)]
    return (reasons or telling or [SAYS_NO_MORE])[-1]
