"""What the metrics of worker and scheduler begin with: a registry of their own, and one scale of times."""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # bounds of a histogram's buckets


def new_registry() -> CollectorRegistry:
    """With the process' and Python's own metrics, and without a time of creation beside every counter."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
