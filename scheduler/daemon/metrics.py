"""The scheduler's metrics: what it did, and the backlog, the pool and the schedules in the job database.

docs/metrics.md explains each metric; a test compares the two.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from db.models.schedules import Firing
from db.queries.pool.backlog import Backlog
from worker.observability.registry import SECONDS, new_registry


class SchedulerMetrics:
    """Each of two schedulers counts only its own work, but both report the same backlog."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._of_rounds()
        self._of_the_backlog()
        self._of_schedules()

    def _of_rounds(self) -> None:
        registry = self.registry
        self.round_seconds = Histogram(
            "photochrom_scheduler_round_seconds", "Time of one round.", buckets=SECONDS, registry=registry
        )
        self.round_failures = Counter(
            "photochrom_scheduler_round_failures",
            "Rounds that ended early because a service was away.",
            registry=registry,
        )
        self.last_round = Gauge(
            "photochrom_scheduler_last_round_timestamp_seconds",
            "When the last complete round ended, Unix time.",
            registry=registry,
        )
        self.messages = Counter(
            "photochrom_messages_sent", "Chunks sent to the broker, also those sent again.", registry=registry
        )
        self.expired = Counter(
            "photochrom_leases_expired", "Leases that ran out and were taken back.", registry=registry
        )
        self.completed = Counter("photochrom_jobs_completed", "Jobs with nothing left to do.", registry=registry)

    def _of_the_backlog(self) -> None:
        registry = self.registry
        self.jobs = Gauge("photochrom_jobs", "Jobs that have not ended.", ["state"], registry=registry)
        self.chunks = Gauge(
            "photochrom_chunks", "Chunks of running jobs that are not done.", ["state"], registry=registry
        )
        self.pending = Gauge(
            "photochrom_pending_scans", "Scans of running jobs that are not coloured yet.", registry=registry
        )
        self.unread = Gauge(
            "photochrom_broker_messages", "Chunks at the broker that no worker has taken.", registry=registry
        )
        self.workers = Gauge("photochrom_workers", "Workers that have sent a heartbeat recently.", registry=registry)
        self.children = Gauge("photochrom_children", "Children of those workers.", registry=registry)

    def _of_schedules(self) -> None:
        self.fired = Gauge(
            "photochrom_schedule_fired_timestamp_seconds",
            "When each enabled schedule fired last, Unix time, and with which result.",
            ["schedule", "state"],
            registry=self.registry,
        )
        self.due = Gauge(
            "photochrom_schedule_due_timestamp_seconds",
            "When each enabled schedule is due next, or has been due since, Unix time.",
            ["schedule"],
            registry=self.registry,
        )
        self._shown: set[tuple[str, str]] = set()
        self._shown_due: set[str] = set()

    @contextmanager
    def round(self) -> Iterator[None]:
        """Measure the time of one round. If the block raises, the round counts as failed."""
        try:
            with self.round_seconds.time():
                yield
        except Exception:
            self.round_failures.inc()
            raise
        self.last_round.set(time.time())

    def show(self, backlog: Backlog, unread: int) -> None:
        """Set the gauges for the backlog and the pool."""
        for state, count in backlog.jobs.items():
            self.jobs.labels(state).set(count)
        for state, count in backlog.chunks.items():
            self.chunks.labels(state).set(count)
        self.pending.set(backlog.pending_scans)
        self.unread.set(unread)
        self.workers.set(backlog.workers)
        self.children.set(backlog.children)

    def show_schedules(self, latest: Mapping[str, Firing], due: Mapping[str, datetime]) -> None:
        """Set the gauges for schedules. By the schedule's name, `latest`: its latest firing; `due`: its next time."""
        for name, due_at in due.items():
            self.due.labels(name).set(due_at.timestamp())
        for name in self._shown_due - due.keys():
            self.due.remove(name)
        self._shown_due = set(due)
        fired = {(name, firing.state): firing.fired_at.timestamp() for name, firing in latest.items()}
        for labels, when in fired.items():
            self.fired.labels(*labels).set(when)
        for labels in self._shown - fired.keys():
            self.fired.remove(*labels)
        self._shown = set(fired)
