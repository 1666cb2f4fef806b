"""What a child may rely on about the lease of its chunk."""

import threading
from collections.abc import Callable

from worker.system.boot_clock import boot_seconds


class Lease:
    """Held for `seconds` from each time that the job database granted or extended it; once lost, lost for good.

    asked_at: `clock()` from before the database was asked, so that the lease never ends earlier there than here.
    May be used from several threads.
    """

    def __init__(self, seconds: float, asked_at: float, clock: Callable[[], float] = boot_seconds) -> None:
        self._seconds, self._clock = seconds, clock
        self._ends_at = asked_at + seconds
        self._is_lost = False
        self._changing = threading.Lock()

    def extend(self, asked_at: float) -> None:
        """The database has extended it. This changes nothing once it is lost."""
        with self._changing:
            self._ends_at = asked_at + self._seconds

    def lose(self) -> None:
        """The database has given the chunk to somebody else, or taken it back."""
        with self._changing:
            self._is_lost = True

    def is_held(self) -> bool:
        """Whether nobody else can have the chunk yet, whatever became of the database or of this process."""
        with self._changing:
            return not self._is_lost and self._clock() < self._ends_at
