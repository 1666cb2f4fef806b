"""Nightly jobs: fires the schedules that are due, each on one scheduler only.

The rows of the table `schedule` say what is due. Firing a schedule is a conditional UPDATE, which changes the row for
one scheduler only. So several schedulers may look at the same time, and nothing is lost in a restart.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
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

AT_ONCE = 2  # listings of one scheduler; others wait, or another scheduler begins them


class _Stopping(Exception):
    """The scheduler stops while a source is listed."""


class ScheduleRunner:
    """Fires the schedules of the table `schedule` when they are due. A time that was missed is still due, but only
    once.

    It begins no more listings than it can do at once. So a scheduler that is killed, or whose listings hang, keeps
    nothing from other schedulers that it has not begun.
    """

    def __init__(
        self, engine: Engine, settings: Settings, executor: Executor, *, now: firing.Clock | None = None
    ) -> None:
        """now: for tests; by default the database's clock."""
        self._engine, self._settings, self._executor = engine, settings, executor
        self._now = now or firing.database_clock(engine)
        self._stopping = threading.Event()
        self._at_work = list[Future[None]]()

    def round(self) -> None:
        """Begin what waits longest: schedules that are due, and listings with an expired lease. Raises
        ServiceUnavailable.
        """
        now = self._now()
        self._give_up(now)
        with read_scope(self._engine) as session:
            due = schedules.due(session, now)
        # Listings that are tried again and again would otherwise always come before those that were not tried yet.
        self._take_over(now, waiting_since=due[0].next_due_at if due else now)
        for schedule in due:
            if not self._free():
                return
            self._fire(schedule, now)
        self._take_over(now, waiting_since=now)

    def _free(self) -> int:
        """How many more listings this scheduler can begin."""
        self._at_work = [listing for listing in self._at_work if not listing.done()]
        return AT_ONCE - len(self._at_work)

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

    def _give_up(self, now: datetime) -> None:
        with session_scope(self._engine) as session:
            numbers = schedules.give_up(session, now=now, tries=firing.TRIES)
        for number in numbers:
            logger.error("firing %d is given up: its listing died %d times", number, firing.TRIES)

    def _take_over(self, now: datetime, *, waiting_since: datetime | None) -> None:
        free = self._free()
        if not free:
            return
        with session_scope(self._engine) as session:
            leases = schedules.take_over(
                session, free, now=now, lease_seconds=firing.LEASE_SECONDS, waiting_since=waiting_since
            )
        for lease in leases:
            self._submit(lease)

    def stop(self) -> None:
        """Listings end at their next page and are handed back, so that another scheduler can take them at once."""
        self._stopping.set()

    def _submit(self, lease: FiringLease) -> None:
        # Keep the lease from now on, because the listing may wait for a thread.
        holding = ExitStack()
        holding.enter_context(firing.held(self._engine, lease, self._now))
        self._at_work.append(self._executor.submit(partial(self._list, lease, holding)))

    def _list(self, lease: FiringLease, holding: ExitStack) -> None:
        name = lease.schedule.name
        with holding:
            try:
                self._go_on(Submitted())
                submitted = firing.list_and_submit(
                    self._engine, lease, self._settings, now=self._now, progress=self._go_on
                )
                logger.info("schedule %r: %s", name, submitted.sentence())
            except _Stopping:
                self._hand_back(lease, firing.give_back)
            except (PhotochromError, LeaseLost) as error:
                logger.warning("schedule %r: %s", name, error)
            except Exception as error:
                logger.exception("schedule %r met an unexpected error; it is tried again", name)
                message = f"{type(error).__name__}; see the scheduler's log"
                self._hand_back(lease, partial(firing.put_off, message=message))

    def _hand_back(self, lease: FiringLease, hand_back: Callable[[Engine, FiringLease, datetime], None]) -> None:
        try:
            hand_back(self._engine, lease, self._now())
        except (PhotochromError, LeaseLost) as error:
            logger.warning("schedule %r: %s; its lease ends by itself", lease.schedule.name, error)

    def _go_on(self, _: Submitted) -> None:
        if self._stopping.is_set():
            raise _Stopping
