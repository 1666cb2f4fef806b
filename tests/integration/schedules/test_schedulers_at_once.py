"""Two schedulers, each a process of its own, that find the same schedule due and fire it at the same moment."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from db.clock import utc_now
from db.models.jobs import Job, Scan
from db.models.schedules import Firing, FiringState, Schedule
from db.queries import schedules
from db.session import make_engine, read_scope, session_scope
from scheduler.schedules import firing, runner
from scheduler.schedules.runner import ScheduleRunner
from scheduler.submission.submitter import Submission, open_both
from worker.settings.settings import Settings
from worker.storage import S3Options

SCHEDULES = 15  # the two schedulers meet this many times
PATIENCE_SECONDS = 60
PROCESSES = multiprocessing.get_context("spawn")


class Beside(ScheduleRunner):
    """Waits for the other scheduler when both know what is due and neither has fired it."""

    met: Callable[[], object]

    def _fire(self, schedule: Schedule, now: datetime) -> None:
        self.met()
        super()._fire(schedule, now)


def fire_what_is_due(url: str, barrier: Barrier) -> None:
    """Run one round of a scheduler, which waits for the other scheduler before it fires each schedule."""
    settings, engine = Settings(), make_engine(url)
    runner.AT_ONCE = SCHEDULES  # otherwise a scheduler with two listings would let the other one wait at the barrier
    with ThreadPoolExecutor(2) as listing:
        beside = Beside(engine, settings, listing)
        beside.met = lambda: barrier.wait(PATIENCE_SECONDS)
        beside.round()
    engine.dispose()


def take_over_what_is_silent(url: str, barrier: Barrier) -> None:
    """Run rounds of a scheduler, which begin at the same moment as the other scheduler's, until nothing waits."""
    settings, engine = Settings(), make_engine(url)
    with ThreadPoolExecutor(2) as listing:
        silent = ScheduleRunner(engine, settings, listing)
        barrier.wait(PATIENCE_SECONDS)
        while any_listing(engine):
            silent.round()
    engine.dispose()


def any_listing(engine: Engine) -> bool:
    with read_scope(engine) as session:
        return session.scalar(select(Firing.id).where(Firing.state == FiringState.LISTING).limit(1)) is not None


def in_two_processes(work: Callable[[str, Barrier], None], url: str) -> None:
    barrier = PROCESSES.Barrier(2)
    schedulers = [PROCESSES.Process(target=work, args=(url, barrier)) for _ in range(2)]
    for each in schedulers:
        each.start()
    for each in schedulers:
        each.join(2 * PATIENCE_SECONDS)
    assert [each.exitcode for each in schedulers] == [0, 0]


@pytest.fixture
def database_url(migrated_postgresql_url: str) -> str:
    """PostgreSQL, because several machines share it."""
    return migrated_postgresql_url


@pytest.fixture
def engine(engine: Engine, tmp_path: Path) -> Engine:
    """A database with SCHEDULES schedules, all due for a week because no scheduler ran."""
    (tmp_path / "in").mkdir()
    for scan in range(3):
        (tmp_path / "in" / f"{scan}.tif").write_bytes(b"a scan")
    a_week_ago = utc_now() - timedelta(days=7)
    for number in range(SCHEDULES):
        asked = Submission(str(tmp_path / "in"), str(tmp_path / f"out {number}"), overwrite="new")
        with session_scope(engine) as session:
            firing.new_schedule(
                session,
                f"{number}",
                asked,
                open_both(asked, S3Options()),
                cron="0 1 * * *",
                timezone="UTC",
                now=a_week_ago,
            )
    return engine


def each_schedule_made_one_job(engine: Engine) -> None:
    with read_scope(engine) as session:
        found = session.execute(select(Firing.schedule_id, Firing.state).order_by(Firing.schedule_id)).all()
        ids = sorted(schedule.id for schedule in schedules.listed(session))
        scans = session.execute(select(Job.destination, func.count()).join(Scan).group_by(Job.id)).all()
    assert [tuple(row) for row in found] == [(each, FiringState.SUBMITTED) for each in ids]
    assert len({destination for destination, _ in scans}) == SCHEDULES
    assert [count for _, count in scans] == [3] * SCHEDULES


def test_of_two_schedulers_at_the_same_moment_one_fires_what_is_due_or_was_missed(
    engine: Engine, migrated_postgresql_url: str
) -> None:
    with session_scope(engine) as session:
        session.execute(update(Schedule).where(Schedule.id % 2 == 0).values(next_due_at=utc_now()))

    in_two_processes(fire_what_is_due, migrated_postgresql_url)

    each_schedule_made_one_job(engine)


def test_of_two_schedulers_at_the_same_moment_one_takes_over_a_listing(
    engine: Engine, migrated_postgresql_url: str
) -> None:
    with session_scope(engine) as session:  # fired by a scheduler that was killed long ago
        now = utc_now() - timedelta(hours=1)
        for each in schedules.enabled(session):
            schedules.fire(session, each, next_due_at=now + timedelta(days=1), now=now, lease_seconds=120)

    in_two_processes(take_over_what_is_silent, migrated_postgresql_url)

    each_schedule_made_one_job(engine)
    with read_scope(engine) as session:
        assert set(session.scalars(select(Firing.attempt))) == {2}
