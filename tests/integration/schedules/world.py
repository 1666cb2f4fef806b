"""Two folders, a job database, a clock that is set by hand, and what happens to schedules there."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from db.models.jobs import Job
from db.models.schedules import Firing, Schedule
from db.queries import schedules
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.scans import leases
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import schedules as actions
from scheduler.daemon.lease_expiry import complete_jobs
from scheduler.schedules import firing
from scheduler.schedules.runner import ScheduleRunner
from scheduler.submission.submitter import Submission, Submitter, open_both
from tests.at_once import AtOnce
from worker.errors import ServiceUnavailable
from worker.settings.settings import Settings
from worker.storage import S3Options

SPRING = datetime(2026, 3, 27, 12, tzinfo=UTC)  # a Friday; on Sunday at 02:00 Rome's clocks go to 03:00
STEP = timedelta(hours=1)


class World:
    """Two folders, a job database, and a clock that is set by hand."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder, self.time = engine, folder, SPRING
        (folder / "in").mkdir()
        (folder / "out").mkdir()

    def now(self) -> datetime:
        return self.time

    def add(self, *keys: str) -> None:
        for key in keys:
            (self.folder / "in" / key).write_text(f"{key} at {self.time}")

    def schedule(self, cron: str = "0 1 * * *", *, name: str = "plates", out: str = "out", **options: Any) -> None:
        asked = Submission(str(self.folder / "in"), str(self.folder / out), overwrite="new", **options)
        with session_scope(self.engine) as session:
            firing.new_schedule(
                session,
                name,
                asked,
                open_both(asked, S3Options()),
                cron=cron,
                timezone="Europe/Rome",
                now=self.time,
            )

    def scheduler(self, executor: Executor | None = None) -> ScheduleRunner:
        settings = Settings(s3_attempts=1)
        return ScheduleRunner(self.engine, settings, executor or AtOnce(), now=self.now)

    def pass_time(self, until: datetime, *runners: ScheduleRunner) -> None:
        """Move the clock in steps. In each step, these schedulers make a round, and workers end every job."""
        while self.time < until:
            self.time += STEP
            for runner in runners:
                runner.round()
            self.work()

    def work(self, *, failing: str = "") -> None:
        for job_id in self._running():
            self._work(job_id, failing)
        complete_jobs(self.engine)

    def _running(self) -> list[int]:
        with read_scope(self.engine) as session:
            return [job.id for job in lifecycle.unfinished(session)]

    def _work(self, job_id: int, failing: str) -> None:
        with session_scope(self.engine) as session:
            for message in dispatch.take_for_dispatch(session, job_id, 9, now=self.time):
                claims.claim(session, message, worker="w/1", lease_seconds=60, now=self.time)
                records = [self._done(scan, failing) for scan in claims.pending_scans(session, message.chunk_id)]
                leases.record(session, message, records, lease_seconds=60, now=self.time)
                claims.release(session, message, not_before=None)

    def _done(self, scan: Any, failing: str) -> ScanRecord:
        if scan.source_key == failing:
            what: dict[str, Any] = {"state": "failed", "error_code": "truncated", "measurements": ScanMeasurements()}
        else:
            (self.folder / "out" / scan.output_key).write_text("colour")
            what = {"state": "done", "measurements": ScanMeasurements(output_bytes=6, output_sha256="0" * 64)}
        return ScanRecord(scan_id=scan.id, attempts=1, worker="w", finished_at=self.time, **what)

    def history(self) -> list[tuple[str, str, list[str]]]:
        """(time of firing, result, keys of the job), oldest first."""
        with read_scope(self.engine) as session:
            found = schedules.history(session, schedules.named(session, "plates").id, limit=99)
            return [
                (
                    f"{firing.fired_at:%d %H:%M}",
                    firing.state,
                    sorted(scan.source_key for scan in scans.of_job(session, job.id)) if job else [],
                )
                for firing, job in reversed(found)
            ]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def edit(world: World, **changes: Any) -> None:
    """What `photochrom schedule edit plates` does with these options."""
    with read_scope(world.engine) as session:
        schedule = schedules.named(session, "plates")
    cron = changes.pop("cron", schedule.cron)
    submission = replace(firing.submission(schedule), **changes)
    actions.edit(world.engine, Settings(), "plates", submission, cron=cron, timezone="Europe/Rome", actor=Actor("ada"))


def stop_after_the_first_page(patched: pytest.MonkeyPatch) -> None:
    """From now on, a page holds one scan, and the database is away after the first page."""
    insert, pages = Submitter._insert, list[object]()

    def insert_once(*call: Any) -> None:
        pages.append(call)
        if len(pages) > 1:
            raise ServiceUnavailable("the database is away")
        insert(*call)

    patched.setattr("scheduler.submission.lister.PAGE_SCANS", 1)
    patched.setattr(Submitter, "_insert", insert_once)


def jobs(world: World) -> list[tuple[str, int]]:
    """(state, quality) of every job."""
    with read_scope(world.engine) as session:
        return [(job.state, job.options["quality"]) for job in session.scalars(select(Job).order_by(Job.id))]


def firings(world: World) -> list[tuple[str, str]]:
    """(schedule, result) of every firing, oldest first."""
    with read_scope(world.engine) as session:
        rows = session.execute(select(Schedule.name, Firing.state).join(Firing).order_by(Firing.id))
        return [(name, state) for name, state in rows]


def next_time(world: World) -> datetime | None:
    with read_scope(world.engine) as session:
        return schedules.named(session, "plates").next_due_at


class Killed(Executor):
    """Is killed before it begins what is submitted to it: nothing runs, and no lease is extended."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        fn.args[1].close()  # type: ignore[attr-defined]  # the threads of a killed process end with it
        return Future()


def away(*_: object, **__: object) -> None:
    raise ServiceUnavailable("the database is away")
