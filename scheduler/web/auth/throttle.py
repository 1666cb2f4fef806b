"""Limits how often somebody may try to sign in."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_SECONDS = 900.0
TRIES_OF_NAME, TRIES_OF_ADDRESS = 5, 30
_REMEMBERED = 10_000


class Throttle:
    """Counts failures by address, and by name and address, so that nobody can lock out a person at another address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def wait_seconds(self, name: str, address: str) -> float:
        """The seconds to wait before the next try; 0 if it may be made now."""
        with self._lock:
            waits = (self._wait((name, address), TRIES_OF_NAME), self._wait((address,), TRIES_OF_ADDRESS))
        return max(waits)

    def note_failure(self, name: str, address: str) -> None:
        with self._lock:
            for key in ((name, address), (address,)):
                self._failures.setdefault(key, deque(maxlen=TRIES_OF_ADDRESS)).append(self._clock())
                self._failures.move_to_end(key)
            while len(self._failures) > _REMEMBERED:
                self._failures.popitem(last=False)

    def forget(self, name: str, address: str) -> None:
        with self._lock:
            self._failures.pop((name, address), None)

    def _wait(self, key: tuple[str, ...], tries: int) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        while failures and failures[0] <= self._clock() - WINDOW_SECONDS:
            failures.popleft()
        return failures[-tries] + WINDOW_SECONDS - self._clock() if len(failures) >= tries else 0.0
