"""What the C library keeps of memory that was freed. Of glibc alone: others give it back, and know none of this."""

import ctypes
import time

# glibc gives each of a child's threads a heap of its own, and what one has freed is of no use to the others.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}

_EVERY_SECONDS = 10.0  # after each chunk, fetching the same memory anew took a twelfth of a child's processor time

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class FreedMemory:
    """That of this process."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _EVERY_SECONDS

    def give_back(self) -> bool:
        """Hand what is free amid the heap to the system, if that is due; whether it was."""
        if _trim is None or time.monotonic() < self._next:
            return False
        _trim(0)
        self._next = time.monotonic() + _EVERY_SECONDS
        return True
