"""A scheduler's metrics with a value for every label."""

from datetime import UTC, datetime

from db.models.schedules import Firing, FiringState
from db.queries.pool.backlog import Backlog
from scheduler.daemon.metrics import SchedulerMetrics


def scheduler_metrics() -> SchedulerMetrics:
    metrics = SchedulerMetrics()
    metrics.show(Backlog({"running": 1}, {"queued": 2}, 3, 4, 5), 6)
    night = datetime(2026, 3, 28, tzinfo=UTC)
    metrics.show_schedules({"plates": Firing(state=FiringState.FAILED, fired_at=night)}, {"plates": night})
    return metrics
