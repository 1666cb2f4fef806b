"""Nightly jobs: Celery's beat decides when to look, the job database who fires.

Beat's own memory (a file) knows nothing of a second scheduler. So its entries are read from the table `schedule` at
each tick, and an entry that is due is fired by a conditional UPDATE, which only one scheduler's changes a row.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import BaseSchedule, schedstate
from sqlalchemy import Engine

from db.errors import LeaseLost, PhotochromError, UsageError
from db.models.schedules import Schedule
from db.queries import schedules
from db.queries.schedules import Listing
from db.session import read_scope, session_scope
from scheduler.schedules import firing
from scheduler.schedules.cron import next_due
from scheduler.submission.submitter import Submitted
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)


class DueAt(BaseSchedule):  # type: ignore[misc]
    """Due from one moment on, which the database has: a time that was missed is still due, once."""

    def __init__(self, moment: datetime, nowfun: Callable[[], datetime], app: Celery | None = None) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.moment = moment

    def is_due(self, last_run_at: datetime) -> schedstate:  # noqa: ARG002  beat's memory, which is not asked
        left = (self.moment - self.now()).total_seconds()
        return schedstate(is_due=left <= 0, next=max(left, 0.0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DueAt) and self.moment == other.moment

    def __hash__(self) -> int:
        return hash(self.moment)


class _Stopping(Exception):
    """The scheduler stops in the middle of a listing."""


class Beat(Scheduler):  # type: ignore[misc]
    """Celery's beat over the table `schedule`. `tick()` fires at most one schedule, and returns how long to wait."""

    producer = None  # a firing is a row, not a message: beat has nothing to say to the broker

    def __init__(
        self, app: Celery, engine: Engine, settings: Settings, executor: Executor, *, now: firing.Clock | None = None
    ) -> None:
        """now: for tests; by default the database's clock."""
        self._engine, self._settings, self._executor = engine, settings, executor
        self._now = now or firing.database_clock(engine)
        self._time = self._now()  # of this tick: beat asks several times for each entry
        self._stopping = threading.Event()
        super().__init__(app, max_interval=settings.scheduler_round_seconds)

    def setup_schedule(self) -> None:
        """Nothing is configured in Celery: every entry is a row."""

    def round(self) -> None:
        """Fire whatever is due, and take over listings that fell silent. Raises ServiceUnavailable."""
        self._take_over()
        while self.tick() == 0:
            pass

    def tick(self, *args: Any, **kwargs: Any) -> float:
        self._time = self._now()
        with read_scope(self._engine) as session:
            self.data = {schedule.name: self._entry(schedule) for schedule in schedules.enabled(session)}
        try:
            return float(super().tick(*args, **kwargs))
        except BaseException:
            self._heap = None  # beat has taken the entry off it already
            raise

    def _entry(self, schedule: Schedule) -> ScheduleEntry:
        assert schedule.next_due_at is not None
        due = DueAt(schedule.next_due_at, lambda: self._time)
        return self.Entry(schedule.name, schedule.source, schedule=due, kwargs={"row": schedule}, app=self.app)

    def apply_entry(self, entry: ScheduleEntry, producer: None = None) -> None:  # noqa: ARG002
        """Fire: of all schedulers that find the entry due, the one whose UPDATE comes first."""
        schedule: Schedule = entry.kwargs["row"]
        now = self._time
        try:
            following = next_due(schedule.cron, schedule.timezone, after=now)
        except UsageError as error:  # its row was changed by hand, or its time zone is gone
            self._fail(schedule, f"{error}; remove the schedule and add it again", now)
            return
        with session_scope(self._engine) as session:
            listing = schedules.fire(
                session, schedule, next_due_at=following, now=now, lease_seconds=firing.LEASE_SECONDS
            )
        if listing:
            logger.info("schedule %r is due since %s: listing %s", schedule.name, schedule.next_due_at, schedule.source)
            self._submit(listing)

    def _fail(self, schedule: Schedule, message: str, now: datetime) -> None:
        """Nobody knows when it is due; it is not forgotten, but fails every day until somebody sees to it."""
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
            taken = schedules.take_over(session, now=now, lease_seconds=firing.LEASE_SECONDS)
        for listing in taken:
            self._submit(listing)

    def stop(self) -> None:
        """Listings end at their next page, and are handed back: another scheduler, or the next, has them at once."""
        self._stopping.set()

    def _submit(self, listing: Listing) -> None:
        # Held from now on: it may wait for its turn longer than a lease lasts.
        holding = ExitStack()
        holding.enter_context(firing.held(self._engine, listing, self._now))
        self._executor.submit(partial(self._list, listing, holding))

    def _list(self, listing: Listing, holding: ExitStack) -> None:
        name = listing.schedule.name
        with holding:
            try:
                submitted = firing.list_and_submit(
                    self._engine, listing, self._settings, now=self._now, progress=self._go_on
                )
                logger.info("schedule %r: %s", name, submitted.sentence())
            except _Stopping:
                firing.give_back(self._engine, listing, self._now())
            except (PhotochromError, LeaseLost) as error:
                logger.warning("schedule %r: %s", name, error)
            except Exception as error:
                logger.exception("schedule %r met an unexpected error; it is tried again", name)
                firing.put_off(self._engine, listing, f"{type(error).__name__}; see the scheduler's log", self._now())

    def _go_on(self, _: Submitted) -> None:
        if self._stopping.is_set():
            raise _Stopping
