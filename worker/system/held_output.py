"""Holds standard error back while a library loads, because its C++ code writes lines there that nobody needs."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_STANDARD_ERROR = 2


@contextmanager
def held_standard_error(dropped: Sequence[str] | None = None) -> Iterator[None]:
    """Drops what is written to file descriptor 2 during the block. If the block raises, it is written afterwards.

    dropped: beginnings of lines; the other lines, such as those of other threads, are written after the block. None:
    every line is dropped.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        terminal = os.dup(_STANDARD_ERROR)
        os.dup2(file.fileno(), _STANDARD_ERROR)
        try:
            yield
        except BaseException:
            _restore(terminal)
            file.seek(0)
            os.write(_STANDARD_ERROR, file.read())
            raise
        _restore(terminal)
        if dropped is not None:
            file.seek(0)
            beginnings = tuple(text.encode() for text in dropped)
            os.write(_STANDARD_ERROR, b"".join(line for line in file if not line.startswith(beginnings)))


def _restore(terminal: int) -> None:
    sys.stderr.flush()
    os.dup2(terminal, _STANDARD_ERROR)
    os.close(terminal)
