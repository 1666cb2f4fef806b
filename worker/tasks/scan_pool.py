"""The threads of a child, which work on several scans at the same time. Results are handed over in bulk."""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass

from db.models.jobs import Scan
from db.queries.scans.records import ScanMeasurements
from worker.errors import ScanError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one scan. Without an error, its output is stored."""

    scan: Scan
    measurements: ScanMeasurements
    error: ScanError | None


class ScanPool:
    """Colourizes the scans of one chunk after another, at most `threads` scans at once."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="scan")

    def colorize(
        self,
        scans: Iterable[Scan],
        colorize_scan: Callable[[Scan, ScanMeasurements], None],
        *,
        every_seconds: float,
        stopping: Callable[[], bool],
    ) -> Generator[list[Outcome], None, None]:
        """Yields the results of scans as they end: at least every `every_seconds` a list, which may be empty, and a
        last list.

        `colorize_scan` runs in a thread of the pool. When `stopping()` is true, no further scan is begun, and the
        iterator ends after the scans at work. Close the iterator if you leave it early; this waits for scans that a
        thread still works on.
        """
        waiting, running = deque(scans), set[Future[Outcome]]()
        outcomes: list[Outcome] = []
        due = time.monotonic() + every_seconds
        try:
            while waiting or running:
                if stopping():
                    waiting.clear()
                while waiting and len(running) < self._threads:
                    # In this thread's context, so that a scan's span is below its chunk's.
                    running.add(self._executor.submit(copy_context().run, _outcome, colorize_scan, waiting.popleft()))
                timeout = max(0.0, due - time.monotonic())
                done, running = wait(running, timeout=timeout, return_when=FIRST_COMPLETED)
                outcomes += [future.result() for future in done]
                if time.monotonic() >= due:
                    yield outcomes
                    outcomes, due = [], time.monotonic() + every_seconds
            yield outcomes
        finally:
            wait(running)

    def close(self) -> None:
        """End the threads when they have finished their scans."""
        self._executor.shutdown()


def _outcome(colorize_scan: Callable[[Scan, ScanMeasurements], None], scan: Scan) -> Outcome:
    measurements = ScanMeasurements()
    try:
        colorize_scan(scan, measurements)
    except ScanError as error:
        return Outcome(scan, measurements, error)
    except Exception as error:
        # A fault in Photochrom must cost this scan one attempt, and not the chunk its lease.
        logger.exception("scan %d (%r) met an unexpected error", scan.id, scan.source_key)
        sentence = f"{scan.source_key}: {type(error).__name__} while it was colourized; see the worker's log"
        return Outcome(scan, measurements, ScanError("internal", sentence, permanent=False))
    return Outcome(scan, measurements, None)
