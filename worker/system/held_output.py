"""Standard error held back while a library loads: what its C++ writes there is no news to whoever reads a terminal."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2


@contextmanager
def held_standard_error() -> Iterator[None]:
    """What the block writes to file descriptor 2 is dropped; if the block raises, it is written after all."""
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
