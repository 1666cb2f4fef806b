"""In flight by bytes, not by scans, so that a 500 MB TIFF and 200 KB JPEGs mix safely."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """Holds back scans so that the decoded bytes in hand stay within `limit`; a larger scan goes alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and hold them for the block."""
        held_bytes = min(size, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= held_bytes)
            self._free -= held_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += held_bytes
                self._changed.notify_all()
