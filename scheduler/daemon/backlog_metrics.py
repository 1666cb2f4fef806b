"""The backlog and the schedules, as the scheduler's metrics show them."""

import time
from datetime import timedelta

from sqlalchemy import Engine

from db.clock import database_now
from db.queries import schedules
from db.queries.pool.backlog import backlog
from db.session import read_scope
from scheduler.daemon.metrics import SchedulerMetrics
from worker.broker.chunk_queue import ChunkQueue
from worker.settings.settings import Settings

LOOK_SECONDS = 10.0


class BacklogMetrics:
    """Reads the figures from time to time, and only if the metrics are served."""

    def __init__(self, engine: Engine, queue: ChunkQueue, settings: Settings) -> None:
        self._engine, self._queue, self._settings = engine, queue, settings
        self._look_at = 0.0
        self.metrics = SchedulerMetrics()

    def look(self) -> None:
        """Raises ServiceUnavailable."""
        if self._settings.metrics_port is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        with read_scope(self._engine) as session:
            heard_after = database_now(session) - timedelta(seconds=self._settings.silent_seconds)
            waiting = backlog(session, heard_after=heard_after)
            fired, enabled = schedules.latest(session), schedules.enabled(session)
        latest = {schedule.name: fired[schedule.id] for schedule in enabled if schedule.id in fired}
        due = {schedule.name: schedule.next_due_at for schedule in enabled if schedule.next_due_at}
        self.metrics.show_schedules(latest, due)
        self.metrics.show(waiting, self._queue.depth())
