"""The base of all metrics: a separate registry, and one scale of times."""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # bounds of a histogram's buckets


def new_registry() -> CollectorRegistry:
    """A registry with the process' and Python's own metrics, without a time of creation for every counter."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
