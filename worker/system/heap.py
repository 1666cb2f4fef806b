"""Gives memory back that was freed but that the C library keeps. Only glibc does this, so only glibc needs it."""

import ctypes
import time

# glibc gives each thread its own heap, and memory that one thread has freed can't be used by the others.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}

_EVERY_SECONDS = 10.0  # doing it after each chunk took a twelfth of a child's processor time

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back_freed_memory() -> None:
    """Give free memory in the heap back to the system now."""
    if _trim is not None:
        _trim(0)


class FreedMemory:
    """The freed memory of this process."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _EVERY_SECONDS

    def give_back(self) -> bool:
        """Give free memory in the heap back to the system, if that is due. Returns whether it was."""
        if _trim is None or time.monotonic() < self._next:
            return False
        give_back_freed_memory()
        self._next = time.monotonic() + _EVERY_SECONDS
        return True
