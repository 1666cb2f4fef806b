"""Carries the scans of one chunk: several in hand at once, their outcomes handed over in bulk."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from db.models.jobs import Scan
from db.queries.scans.records import Measured
from worker.errors import ScanError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scan; without an error, its output is stored."""

    scan: Scan
    measured: Measured
    error: ScanError | None


class Carrier:
    """`colorize(scan, measured)` runs in `pool`, for at most `in_hand` scans at once.

    `record(outcomes)` is called in this thread, at least every `record_seconds`, also with nothing to record:
    it extends the lease. It returns False when no further scan may be begun. `stopping()` says so as well.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        *,
        colorize: Callable[[Scan, Measured], None],
        record: Callable[[list[Outcome]], bool],
        stopping: Callable[[], bool],
        in_hand: int,
        record_seconds: float,
    ) -> None:
        self._pool = pool
        self._colorize = colorize
        self._record = record
        self._stopping = stopping
        self._in_hand = in_hand
        self._record_seconds = record_seconds
        self._running: set[Future[Outcome]] = set()

    def carry(self, scans: Iterable[Scan]) -> None:
        """Carry all, or as many as were begun before stopping; raises what `record` raises.

        Nothing runs any more when this returns or raises: what a thread still held is waited for.
        """
        waiting = deque(scans)
        try:
            self._carry(waiting)
        finally:
            wait(self._running)

    def _carry(self, waiting: deque[Scan]) -> None:
        outcomes: list[Outcome] = []
        due = time.monotonic() + self._record_seconds
        while waiting or self._running:
            if self._stopping():
                waiting.clear()
            self._begin(waiting)
            outcomes += self._finished(timeout=max(0.0, due - time.monotonic()))
            if time.monotonic() >= due:
                if not self._record(outcomes):
                    waiting.clear()
                outcomes, due = [], time.monotonic() + self._record_seconds
        self._record(outcomes)

    def _begin(self, waiting: deque[Scan]) -> None:
        while waiting and len(self._running) < self._in_hand:
            self._running.add(self._pool.submit(self._attempt, waiting.popleft()))

    def _finished(self, timeout: float) -> list[Outcome]:
        done, self._running = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        return [future.result() for future in done]

    def _attempt(self, scan: Scan) -> Outcome:
        measured = Measured()
        try:
            self._colorize(scan, measured)
        except ScanError as error:
            return Outcome(scan, measured, error)
        except Exception as error:
            # A fault of ours must cost this scan a try, not the chunk its lease.
            logger.exception("scan %d (%r) met an unexpected error", scan.id, scan.source_key)
            sentence = (
                f"{scan.source_key}: {type(error).__name__} while it was colourized; the worker's log has the rest"
            )
            return Outcome(scan, measured, ScanError("internal", sentence, permanent=False))
        return Outcome(scan, measured, None)
