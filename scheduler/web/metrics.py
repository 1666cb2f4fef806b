"""The metrics of `photochrom web`. docs/metrics.md explains each; a test compares the two."""

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Scope

from worker.observability.registry import SECONDS, new_registry

API = "/api/v1"


class WebMetrics:
    """Metrics by route, not by address, because there are a million scans."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.requests = Counter(
            "photochrom_web_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "photochrom_web_request_seconds",
            "Time to the end of an answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.cache_bytes = Gauge("photochrom_web_cache_bytes", "Thumbnails and tiles on disk.", registry=self.registry)

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        path = getattr(scope.get("route"), "path", "other")
        if scope["path"].startswith(API) and not path.startswith(API):
            path = API + path
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)
