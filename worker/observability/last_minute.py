"""A worker's figures of the last minute, for its row in the job database and `photochrom status --workers`."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping

from worker.observability.scan_events import ScanEvent
from worker.observability.stages import Stage
from worker.observability.worker_metrics import WorkerMetrics

WINDOW_SECONDS = 60.0

# The names of the model server's counters, and ours for them.
_COUNTED = {
    "busy_seconds": "busy",
    "batches": "batches",
    "scans": "batched",
    "places": "places",
    "failed": "model_failures",
}


class Statistics:
    """Adds up the reports of the children and the model server. Any thread may call any method."""

    def __init__(self, metrics: WorkerMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._lock = threading.Lock()
        self._sums: dict[str, float] = defaultdict(float)
        self._last: Mapping[str, float] = {}
        self._queue_length: int | None = None
        self._devices = 1
        self._marks: deque[tuple[float, Mapping[str, float]]] = deque([(clock(), {})])

    def count(self, event: ScanEvent) -> None:
        """Count a scan that a child has recorded."""
        self._metrics.count(event)
        with self._lock:
            self._sums["ended"] += event.state != "pending"
            self._sums["failed"] += event.state == "failed"
            if event.state != "done":
                return
            self._sums["done"] += 1
            self._sums["pixels"] += event.pixels
            for stage, milliseconds in zip(Stage, event.stage_ms, strict=True):
                self._sums[stage.column] += milliseconds or 0.0

    def ask_model(self, ask: Callable[[], Mapping[str, float]], devices: int = 1) -> None:
        """Read the counters of `ModelServers`, which only grow. Raises what `ask` raises."""
        self._devices = devices
        try:
            stats = ask()
        except Exception:
            self._metrics.model_up.set(0)
            self._queue_length = None
            raise
        self._metrics.model_up.set(1)
        self._metrics.batch_size.set(stats["batch_size"])
        self._metrics.queue.set(stats["queue_length"])
        with self._lock:
            self._queue_length = int(stats["queue_length"])
            for theirs, ours in _COUNTED.items():
                grown = stats[theirs] - self._last.get(theirs, 0.0)
                self._sums[ours] += grown
                getattr(self._metrics, ours).inc(grown)
            self._last = stats

    def columns(self) -> dict[str, float | None]:
        """Columns of the worker's row. The rates are for the last minute, since the call one minute ago."""
        with self._lock:
            now, sums = self._clock(), defaultdict(float, self._sums)
            while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW_SECONDS:
                self._marks.popleft()
            began, before = self._marks[0]
            self._marks.append((now, sums))
            queue_length = self._queue_length
        seconds, grown = now - began, {name: sums[name] - before.get(name, 0.0) for name in sums}
        return {
            "ended_scans": int(sums["ended"]),
            "failed_scans": int(sums["failed"]),
            "model_queue_length": queue_length,
            **_rates(grown, seconds, self._devices),
            **{stage.column: _ratio(grown.get(stage.column, 0.0), grown.get("done", 0)) for stage in Stage},
        }


def _rates(grown: Mapping[str, float], seconds: float, devices: int) -> dict[str, float | None]:
    return {
        "device_busy_share": _ratio(grown.get("busy", 0.0), seconds * devices),
        "batch_fill": _ratio(grown.get("batched", 0), grown.get("places", 0)),
        "scans_per_second": _ratio(grown.get("done", 0), seconds),
        "megapixels_per_second": _ratio(grown.get("pixels", 0) / 1e6, seconds),
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
