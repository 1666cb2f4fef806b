"""A scheduler's heartbeats."""

import os
import time
import uuid
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.pool import schedulers, workers
from db.session import session_scope
from worker.errors import DatabaseUnavailable
from worker.system.process_names import machine_name

FORGET_WORKERS_AFTER = timedelta(days=7)


class SchedulerHeartbeat:
    """Records in the job database that this scheduler runs, so that `photochrom status` can say if none runs."""

    def __init__(self, engine: Engine, every_seconds: float) -> None:
        self._engine, self._every_seconds = engine, every_seconds
        self._name = f"{machine_name()}{uuid.uuid4().hex[:6]}-{os.getpid()}"
        self._next = 0.0

    def beat(self) -> None:
        """Record a heartbeat if one is due. Raises DatabaseUnavailable."""
        if time.monotonic() < self._next:
            return
        with session_scope(self._engine) as session:
            now = database_now(session)
            schedulers.beat(session, self._name, now=now)
            workers.forget(session, heard_before=now - FORGET_WORKERS_AFTER)
        self._next = time.monotonic() + self._every_seconds

    def stop(self) -> None:
        """Record that the scheduler has stopped on purpose."""
        with suppress(DatabaseUnavailable), session_scope(self._engine) as session:
            schedulers.stop(session, self._name, now=database_now(session))
