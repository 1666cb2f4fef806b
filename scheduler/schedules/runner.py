"""Nightly jobs: fires the schedules that are due, each on one scheduler only.

The rows of the table `schedule` say what is due. Firing a schedule is a conditional UPDATE, which changes the row for
one scheduler only. So several schedulers may look at the same time, and nothing is lost in a restart.
"""

import logging
import threading
from concurrent.futures import Executor
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from db.errors import LeaseLost, PhotochromError, UsageError
from db.models.schedules import Schedule
from db.queries import schedules
from db.queries.schedules import FiringLease
from db.session import read_scope, session_scope
from scheduler.schedules import firing
from scheduler.schedules.cron import next_due
from scheduler.submission.submitter import Submitted
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)


class _Stopping(Exception):
    """The scheduler stops while a source is listed."""


class ScheduleRunner:
    """Fires the schedules of the table `schedule` when they are due. A time that was missed is still due, but only
    once.
    """

    def __init__(
        self, engine: Engine, settings: Settings, executor: Executor, *, now: firing.Clock | None = None
    ) -> None:
        """now: for tests; by default the database's clock."""
        self._engine, self._settings, self._executor = engine, settings, executor
        self._now = now or firing.database_clock(engine)
        self._stopping = threading.Event()

    def round(self) -> None:
        """Fire the schedules that are due, and take over listings with an expired lease. Raises ServiceUnavailable."""
        self._take_over()
        now = self._now()
        with read_scope(self._engine) as session:
            due = schedules.due(session, now)
        for schedule in due:
            self._fire(schedule, now)

    def _fire(self, schedule: Schedule, now: datetime) -> None:
        """Of all schedulers that find it due, the one whose UPDATE comes first lists its source."""
        try:
            following = next_due(schedule.cron, schedule.timezone, after=now)
        except UsageError as error:  # its row was changed by hand, or its time zone no longer exists
            self._fail(schedule, f"{error}; remove the schedule and add it again", now)
            return
        with session_scope(self._engine) as session:
            lease = schedules.fire(
                session, schedule, next_due_at=following, now=now, lease_seconds=firing.LEASE_SECONDS
            )
        if lease:
            logger.info("schedule %r is due since %s: listing %s", schedule.name, schedule.next_due_at, schedule.source)
            self._submit(lease)

    def _fail(self, schedule: Schedule, message: str, now: datetime) -> None:
        """Record a failure. Its next time is unknown, so it fails every day until a person mends it."""
        tomorrow = now + timedelta(days=1)
        with session_scope(self._engine) as session:
            failed = schedules.fail(session, schedule, message, next_due_at=tomorrow, now=now)
        if failed:
            logger.error("schedule %r: %s", schedule.name, message)

    def _take_over(self) -> None:
        with session_scope(self._engine) as session:
            now = self._now()
            for number in schedules.give_up(session, now=now, tries=firing.TRIES):
                logger.error("firing %d is given up: its listing died %d times", number, firing.TRIES)
            leases = schedules.take_over(session, now=now, lease_seconds=firing.LEASE_SECONDS)
        for lease in leases:
            self._submit(lease)

    def stop(self) -> None:
        """Listings end at their next page and are handed back, so that another scheduler can take them at once."""
        self._stopping.set()

    def _submit(self, lease: FiringLease) -> None:
        # Keep the lease from now on, because the listing may wait longer than a lease lasts.
        holding = ExitStack()
        holding.enter_context(firing.held(self._engine, lease, self._now))
        self._executor.submit(partial(self._list, lease, holding))

    def _list(self, lease: FiringLease, holding: ExitStack) -> None:
        name = lease.schedule.name
        with holding:
            try:
                submitted = firing.list_and_submit(
                    self._engine, lease, self._settings, now=self._now, progress=self._go_on
                )
                logger.info("schedule %r: %s", name, submitted.sentence())
            except _Stopping:
                firing.give_back(self._engine, lease, self._now())
            except (PhotochromError, LeaseLost) as error:
                logger.warning("schedule %r: %s", name, error)
            except Exception as error:
                logger.exception("schedule %r met an unexpected error; it is tried again", name)
                firing.put_off(self._engine, lease, f"{type(error).__name__}; see the scheduler's log", self._now())

    def _go_on(self, _: Submitted) -> None:
        if self._stopping.is_set():
            raise _Stopping
