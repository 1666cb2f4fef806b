"""A worker's metrics: of its scans, which its children report, and of its device, which its model server reports.

docs/metrics.md explains each metric; a test compares the two.
"""

from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram

from worker.observability.registry import SECONDS, new_registry
from worker.observability.scan_events import ScanEvent
from worker.observability.stages import Stage


class WorkerMetrics:
    """Counters since the worker's start. They continue when children or model servers are started again."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._of_scans()
        self._of_the_device()
        self._of_the_worker()

    def _of_scans(self) -> None:
        registry = self.registry
        self.scans = Counter(
            "photochrom_scans",
            "Scans recorded: done, failed, skipped, or pending (tried again).",
            ["state"],
            registry=registry,
        )
        for state in ("done", "failed", "skipped", "pending"):
            self.scans.labels(state)
        self.errors = Counter(
            "photochrom_scan_errors",
            "Errors of scans, also of those that succeeded later.",
            ["code"],
            registry=registry,
        )
        self.pixels = Counter("photochrom_pixels", "Pixels of the scans done, at their full size.", registry=registry)
        self.source_bytes = Counter(
            "photochrom_source_bytes", "Bytes of scans read from their sources.", registry=registry
        )
        self.output_bytes = Counter("photochrom_output_bytes", "Bytes of outputs stored.", registry=registry)
        self.stages = Histogram(
            "photochrom_stage_seconds", "Time of one scan in each stage.", ["stage"], buckets=SECONDS, registry=registry
        )
        for stage in Stage:
            self.stages.labels(stage.value)

    def _of_the_device(self) -> None:
        registry = self.registry
        self.busy = Counter("photochrom_device_busy_seconds", "Time that the device has predicted.", registry=registry)
        self.batches = Counter("photochrom_batches", "Batches that the device has predicted.", registry=registry)
        self.batched = Counter("photochrom_batched_scans", "Scans in those batches.", registry=registry)
        self.places = Counter("photochrom_batch_places", "Places for scans in those batches.", registry=registry)
        self.model_failures = Counter(
            "photochrom_model_failures", "Scans that the model could not colour.", registry=registry
        )
        self.batch_size = Gauge(
            "photochrom_batch_size",
            "Places in the largest batch, after it was halved where memory was short.",
            registry=registry,
        )
        self.queue = Gauge(
            "photochrom_model_queue_scans", "Scans that wait for their batch to begin.", registry=registry
        )
        self.model_up = Gauge(
            "photochrom_model_server_up", "1 while the model server answers, else 0.", registry=registry
        )
        self.model_restarts = Counter(
            "photochrom_model_server_restarts", "Times that the model server was started again.", registry=registry
        )

    def _of_the_worker(self) -> None:
        registry = self.registry
        self.info = Gauge(
            "photochrom_worker_info", "Always 1.", ["worker", "version", "checkpoint", "device"], registry=registry
        )
        self.children = Gauge("photochrom_worker_children", "Children of this worker.", registry=registry)
        self.draining = Gauge("photochrom_worker_draining", "1 once it takes nothing more, else 0.", registry=registry)
        self.celery_restarts = Counter(
            "photochrom_celery_restarts", "Times that Celery was started again.", registry=registry
        )
        self.dead_leases = Counter(
            "photochrom_dead_leases", "Leases ended because their holder on this machine had died.", registry=registry
        )
        self.heartbeat_failures = Counter(
            "photochrom_heartbeat_failures", "Heartbeats that did not reach the job database.", registry=registry
        )

    def describe(self, worker: str, *, checkpoint_id: str, device: str, children: int) -> None:
        self.info.labels(worker, version("photochrom"), checkpoint_id, device).set(1)
        self.children.set(children)

    def count(self, event: ScanEvent) -> None:
        """Count one scan that a child has recorded."""
        self.scans.labels(event.state).inc()
        if event.code:
            self.errors.labels(event.code).inc()
        if event.state == "done":
            self.pixels.inc(event.pixels)
        self.source_bytes.inc(event.source_bytes)
        self.output_bytes.inc(event.output_bytes)
        for stage, milliseconds in zip(Stage, event.stage_ms, strict=True):
            if milliseconds is not None:
                self.stages.labels(stage.value).observe(milliseconds / 1000)
