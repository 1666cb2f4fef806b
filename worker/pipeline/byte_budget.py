"""Limits the scans at work by bytes and not by number, so that a 500 MB TIFF and 200 KB JPEGs can be mixed safely."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """Lets scans wait so that the decoded bytes at work stay within `limit`. A larger scan is worked on alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Waits until `size` bytes are free, and takes them for the block."""
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
