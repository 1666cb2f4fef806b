"""The lease of a child's chunk, as far as the child can be sure of it."""

import threading
from collections.abc import Callable

from worker.system.boot_clock import boot_seconds


class Lease:
    """Each time the job database grants or extends the lease, it lasts for `seconds`. A lost lease stays lost.

    asked_at: `clock()` before the request to the database, so that the lease never ends earlier there than here. It may
    be used from several threads.
    """

    def __init__(self, seconds: float, asked_at: float, clock: Callable[[], float] = boot_seconds) -> None:
        self._seconds, self._clock = seconds, clock
        self._ends_at = asked_at + seconds
        self._is_lost = False
        self._changing = threading.Lock()

    def extend(self, asked_at: float) -> None:
        """Record that the database has extended the lease. This has no effect if it is lost."""
        with self._changing:
            self._ends_at = asked_at + self._seconds

    def lose(self) -> None:
        """Record that the database has given the chunk to another worker, or taken it back."""
        with self._changing:
            self._is_lost = True

    def is_held(self) -> bool:
        """Whether no other worker can have the chunk yet, even if the database was away or this process was frozen."""
        with self._changing:
            return not self._is_lost and self._clock() < self._ends_at
