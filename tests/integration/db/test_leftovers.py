"""Rows that nobody looks after: listings whose scheduler died, workers that are gone, readers that take hours."""

from datetime import timedelta

from sqlalchemy import Engine, select, text

from db.clock import database_now
from db.migrations import upgrade
from db.models.pool import Worker
from db.models.schedules import Firing, FiringState
from db.queries import schedules
from db.queries.pool import workers
from db.queries.scans import records
from db.session import make_engine, read_scope, session_scope
from scheduler.daemon.heartbeat import FORGET_WORKERS_AFTER, SchedulerHeartbeat
from tests.rows import NOON, make_job


def test_a_listing_that_kills_its_scheduler_is_given_up(engine: Engine) -> None:
    with session_scope(engine) as session:
        what = {"source": "/in", "destination": "/out", "options": {}, "cron": "0 1 * * *", "timezone": "UTC"}
        schedules.add(session, name="plates", **what, next_due_at=NOON, now=NOON)  # type: ignore[arg-type]
        schedules.fire_by_hand(session, "plates", now=NOON, lease_seconds=60)

    taken = 1
    for hour in range(1, 9):
        with session_scope(engine) as session:
            now = NOON + timedelta(hours=hour)
            schedules.give_up(session, now=now, tries=3)
            taken += len(schedules.take_over(session, 9, now=now, lease_seconds=60))

    assert taken == 3
    with read_scope(engine) as session:
        firing = session.scalars(select(Firing)).one()
    assert firing.state == FiringState.FAILED
    assert "given up after 3 tries" in (firing.message or "")


def test_rows_of_workers_that_stopped_long_ago_are_deleted(engine: Engine) -> None:
    with session_scope(engine) as session:
        now = database_now(session)
        for name, heard in (("gone", now - FORGET_WORKERS_AFTER), ("there", now)):
            workers.register(session, Worker(name=name, children=1, started_at=heard, heartbeat_at=heard))

    SchedulerHeartbeat(engine, 60).beat()

    with read_scope(engine) as session:
        assert session.scalars(select(Worker.name)).all() == ["there"]


def test_a_slow_reader_of_a_job_s_scans_holds_no_snapshot(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    job_id = make_job(engine, scan_count=3)

    rows = records.stream(engine, job_id)
    next(rows)

    with read_scope(engine) as session:
        open_now = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
        assert session.scalar(text(f"{open_now} AND pid <> pg_backend_pid()")) == 0
    assert len(list(rows)) == 2
    engine.dispose()
