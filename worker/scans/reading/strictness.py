"""Decides which warnings of decoders mean lost pixels.

JPEG, also in a TIFF's strips, is first read so that every warning is a failure. If the warnings are known to be
harmless, the file is read again, less strictly.

jerror.h of libjpeg; tif_jpeg.c of libtiff.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from typing import TypeVar

import pyvips

from worker.scans.formats.errors import LibraryError
from worker.scans.formats.jpeg import segments
from worker.scans.formats.jpeg.segments import copy_with_clean_head, has_several_scans
from worker.scans.formats.png import chunks
from worker.scans.reading.scan_file import ScanFile
from worker.scans.vips import SAYS_NO_MORE, ErrorBuffer, cleared_errors, kept_warnings, last_line, words_kept

Result = TypeVar("Result")

# libjpeg reports only its first warning. So the causes of warnings in a JPEG's head are removed first. After that, a
# warning is about the pixels.
_HARMLESS = {
    "jpeg": re.compile("extraneous bytes before marker|JFIF revision|color transform code|bad ICC|SOS parameters"),
    # In strips of JPEG: see tiff.supported.fails_from.
    "tiff": re.compile(
        "^(?!Corrupt JPEG data|Premature end|Inconsistent progression|Application transferred|error in tile)"
        "|extraneous bytes before marker 0xd9"
    ),
}
# libjpeg's messages about lost pixels. libvips checks for them before it reads rows. So it misses those that come with
# the last rows, and all in a TIFF's tiles.
_LATE = re.compile("(?:Premature end of|Inconsistent progression|Corrupt JPEG data: (?![0-9]+ extraneous bytes))[^\n]*")
_MAX_METADATA = {"jpeg": 4 << 20, "png": 1 << 10}  # stored bytes; a PNG's kilobyte may unpack to a megabyte
_MAX_TRIES_ALONE = 4
_BEFORE_END = re.compile("([0-9]+) extraneous bytes before marker 0xd9")


class _Readers:
    """Lets many threads read at the same time, or one alone.

    All threads share libvips' error buffer, so after a failure its message may be about another thread's file. Then the
    file is read again alone.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = self._waiting = 0  # readers; of these, those that are alone or wait to be
        self._begun = 0  # the number of readers so far
        self._is_one_alone = False

    def words_of(self, work: Callable[[], Result], *, until_the_end: bool = False) -> Result | str:
        """The result of the work, or libvips' message if it failed.

        until_the_end: a message of libjpeg that pixels are missing also counts if it came with the last rows.
        """
        with self._among_others() as begun:
            emptied_before = ErrorBuffer.times_emptied
            try:
                result = work()
            except pyvips.Error as error:
                words = last_line(error)
            else:
                words = _late_words() if until_the_end else ""
                if until_the_end and not words and ErrorBuffer.times_emptied != emptied_before:
                    words = SAYS_NO_MORE  # its message may have been removed with another thread's
                if not words:
                    return result
            if begun is not None and self._begun == begun and words != SAYS_NO_MORE:
                return words
        with self._alone():
            for _ in range(_MAX_TRIES_ALONE):  # files that others have just closed may still cause messages
                earlier = words
                cleared_errors()
                emptied_before = ErrorBuffer.times_emptied
                try:
                    with kept_warnings() as warnings:
                        result = work()
                except pyvips.Error as error:
                    words = last_line(error)
                else:
                    words = _late_words() if until_the_end else ""
                    if not words and until_the_end and ErrorBuffer.times_emptied != emptied_before:
                        continue  # a thread that writes or opens a file has emptied it
                    if not words:
                        return result
                if words == SAYS_NO_MORE and warnings:
                    words = warnings[0]  # the one at which reading stopped
                if words == earlier:
                    break
            return words or result

    def watched(self, work: Callable[[], Result], is_harmless: Callable[[str], bool]) -> Result | str:
        """As `words_of`, but alone. After warnings only: the first that is not harmless, or else the result.

        It is for files that are known to cause warnings, so reading must not stop at a warning.
        """
        with self._alone():
            for _ in range(_MAX_TRIES_ALONE):
                cleared_errors()
                emptied_before = ErrorBuffer.times_emptied
                with kept_warnings() as warnings:
                    try:
                        result = work()
                    except pyvips.Error as error:
                        return last_line(error)
                if words := _late_words():
                    return words
                if ErrorBuffer.times_emptied == emptied_before:
                    break
            return next((words for words in warnings if not is_harmless(words)), result)

    @contextmanager
    def _among_others(self) -> Iterator[int | None]:
        """Gives the reader's number if no other thread reads when it begins; otherwise None."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._running, self._begun = self._running + 1, self._begun + 1
            begun = self._begun if self._running == 1 else None
            if begun is not None:
                cleared_errors()
        try:
            yield begun
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._running and not self._is_one_alone)
            self._is_one_alone = True
        try:
            yield
        finally:
            with self._changed:
                self._waiting, self._is_one_alone = self._waiting - 1, False
                self._changed.notify_all()


def _late_words() -> str:
    """The message about lost pixels that did not stop the reading; "" if there is none."""
    found = _LATE.search(words_kept())
    return found[0] if found else ""


_readers = _Readers()


def decoded(file: ScanFile, work: Callable[[], Result]) -> Result:
    """The result of `work`. It is called again if libvips failed for a reason that loses no pixels.

    Raises FormatError in libvips' words.
    """
    while True:
        if file.format == "tiff" and file.fails_on == "error":
            result = _readers.watched(work, lambda warning: _is_harmless_in_tiff(file, warning))
        else:
            # If a JPEG is read in spite of a warning, no other warning can follow: libjpeg reports only its first.
            is_watched = file.format == "tiff" or (file.format == "jpeg" and file.fails_on == "warning")
            result = _readers.words_of(work, until_the_end=is_watched)
        if not isinstance(result, str):
            return result
        if not _is_relaxed(file, result):
            raise LibraryError(result)


def words_of_reading(work: Callable[[], object]) -> str:
    """libvips' message if it can't read the file; "" if it can."""
    result = _readers.words_of(work, until_the_end=True)
    return result if isinstance(result, str) else ""


def leave_out_long_metadata(file: ScanFile) -> None:
    """Make a copy without long metadata, because libjpeg and libpng keep all metadata in memory."""
    copy = {"jpeg": copy_with_clean_head, "png": chunks.copy_without_texts}.get(file.format)
    if copy is None or file.has_checked_length:
        return
    file.has_checked_length = True
    if file.format == "jpeg":
        length = sum(len(content) for _, content in segments.read_segments(file.path))
    else:
        length = chunks.stored_bytes_of_texts(file.path)
    if length > _MAX_METADATA[file.format]:
        target = file.beside("clean")
        copy(file.path, target)
        file.read_from = target


def _is_relaxed(file: ScanFile, warning: str) -> bool:
    """Whether the file must be read again after this warning; if so, it is set to be read less strictly."""
    if file.fails_on == "error" or file.format not in _HARMLESS:
        return False
    if file.format == "tiff":
        if warning == SAYS_NO_MORE or not _is_harmless_in_tiff(file, warning):
            return False
        file.fails_on = "error"  # from now on, each warning is checked: see _Readers.watched
        return True
    if not _HARMLESS[file.format].search(warning):
        return False
    if file.read_from == file.path:
        target = file.beside("clean")
        copy_with_clean_head(file.path, target)
        file.read_from = target
        return True
    file.fails_on = "error"
    return _is_padding(file, warning)


def _is_padding(file: ScanFile, warning: str) -> bool:
    """Whether the bytes that libjpeg did not understand are only padding after the last of several scans."""
    stray = _BEFORE_END.search(warning)
    return stray is not None and has_several_scans(file.path) and _has_padding(file, int(stray[1]))


def _is_harmless_in_tiff(file: ScanFile, warning: str) -> bool:
    """Whether no pixel is lost: the coded data of a strip of JPEG are followed by nothing or only by padding."""
    if not _HARMLESS["tiff"].search(warning):
        return False
    stray = _BEFORE_END.search(warning)
    return stray is None or _has_padding(file, int(stray[1]))


def _has_padding(file: ScanFile, count: int) -> bool:
    with file.path.open("rb") as source, mmap(source.fileno(), 0, access=ACCESS_READ) as data:
        return any(data.find(bytes([byte]) * count + b"\xff\xd9") >= 0 for byte in (0, 0xFF))
