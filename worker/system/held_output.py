"""Holds standard error back while a library loads, because its C++ code writes lines there that nobody needs."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2


@contextmanager
def held_standard_error() -> Iterator[None]:
    """Drops what the block writes to file descriptor 2. If the block raises, it is written afterwards."""
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


def _restore(terminal: int) -> None:
    sys.stderr.flush()
    os.dup2(terminal, _STANDARD_ERROR)
    os.close(terminal)
