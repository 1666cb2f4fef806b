"""The threads of a child: several scans in hand at once, their outcomes handed over in bulk."""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from db.models.jobs import Scan
from db.queries.scans.records import ScanMeasurements
from worker.errors import ScanError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scan; without an error, its output is stored."""

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
        """What became of the scans, as they end: a list at least `every_seconds`, an empty one too, and a last one.

        `colorize_scan` runs in a thread of the pool. Once `stopping()` is true no further scan is begun, and the
        iterator ends after those in hand. Close it when leaving early: that waits for what a thread still holds.
        """
        waiting, running = deque(scans), set[Future[Outcome]]()
        outcomes: list[Outcome] = []
        due = time.monotonic() + every_seconds
        try:
            while waiting or running:
                if stopping():
                    waiting.clear()
                while waiting and len(running) < self._threads:
                    running.add(self._executor.submit(_outcome, colorize_scan, waiting.popleft()))
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
        """End the threads once they have nothing in hand."""
        self._executor.shutdown()


def _outcome(colorize_scan: Callable[[Scan, ScanMeasurements], None], scan: Scan) -> Outcome:
    measurements = ScanMeasurements()
    try:
        colorize_scan(scan, measurements)
    except ScanError as error:
        return Outcome(scan, measurements, error)
    except Exception as error:
        # A fault of ours must cost this scan a try, not the chunk its lease.
        logger.exception("scan %d (%r) met an unexpected error", scan.id, scan.source_key)
        sentence = f"{scan.source_key}: {type(error).__name__} while it was colourized; see the worker's log"
        return Outcome(scan, measurements, ScanError("internal", sentence, permanent=False))
    return Outcome(scan, measurements, None)
