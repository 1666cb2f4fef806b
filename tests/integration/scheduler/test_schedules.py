"""Nightly jobs over simulated days: what is due is fired once, whatever happens to the schedulers and to the clock."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.pool import QueuePool

from db.clock import utc_now
from db.models.jobs import Job, JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries import schedules
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.scans import leases
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.actions import schedules as actions
from scheduler.actions.actor import Actor
from scheduler.daemon.backlog_metrics import BacklogMetrics
from scheduler.daemon.lease_expiry import complete_jobs
from scheduler.schedules import firing
from scheduler.schedules.runner import ScheduleRunner
from scheduler.submission.submitter import Submission, Submitter, open_both
from tests.at_once import AtOnce, Later
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import ServiceUnavailable, UsageError
from worker.settings.settings import Settings
from worker.storage import S3Options, Storage

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


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    return World(engine, tmp_path)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def test_three_days_with_two_schedulers_a_restart_and_summer_time(world: World) -> None:
    world.add("a.tif", "b.tif")
    world.schedule()
    world.pass_time(at(28, 12), world.scheduler(), world.scheduler())
    world.add("c.tif")
    world.time = at(29, 5)  # no scheduler ran at 01:00; in between, the clocks went forward
    again = world.scheduler(), world.scheduler()
    world.add("a.tif")  # another file of that name
    world.pass_time(at(30, 12), *again)

    assert world.history() == [
        ("28 00:00", FiringState.SUBMITTED, ["a.tif", "b.tif"]),  # 01:00 CET
        ("29 06:00", FiringState.SUBMITTED, ["a.tif", "c.tif"]),  # the missed firing, once
        ("29 23:00", FiringState.NOTHING_NEW, []),  # 01:00 CEST
    ]


def test_after_a_week_without_a_scheduler_a_schedule_fires_once(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    world.time = SPRING + timedelta(days=7)

    world.pass_time(world.time + timedelta(hours=6), world.scheduler())

    assert len(world.history()) == 1


def test_a_clock_that_is_set_back_fires_nothing_again(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    runner = world.scheduler()
    world.pass_time(at(28, 2), runner)
    world.time = at(27, 23)

    world.pass_time(at(28, 2), runner)

    assert len(world.history()) == 1


def test_a_schedule_whose_run_is_in_progress_is_not_started_again(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 2)
    world.scheduler().round()
    world.add("b.tif")
    world.time = at(29, 2)
    world.scheduler().round()
    with pytest.raises(UsageError, match="has not ended"), session_scope(world.engine) as session:
        schedules.fire_by_hand(session, "plates", now=world.time, lease_seconds=60)
    world.work()

    world.pass_time(at(30, 2), world.scheduler())

    assert [(state, keys) for _, state, keys in world.history()] == [
        (FiringState.SUBMITTED, ["a.tif"]),
        (FiringState.STILL_GOING, ["a.tif"]),
        (FiringState.SUBMITTED, ["b.tif"]),
    ]


def test_a_damaged_scan_is_tried_again_only_once_it_has_changed(world: World) -> None:
    world.add("a.tif", "bad.tif")
    world.schedule()
    world.time = at(28, 2)
    world.scheduler().round()
    world.work(failing="bad.tif")
    world.pass_time(at(29, 12), world.scheduler())
    world.add("bad.tif")

    world.pass_time(at(30, 12), world.scheduler())

    assert [keys for _, _, keys in world.history()] == [["a.tif", "bad.tif"], [], ["bad.tif"]]


def test_a_listing_whose_scheduler_was_killed_is_another_s(world: World) -> None:
    world.add("a.tif", "b.tif")
    world.schedule()
    world.time = at(28, 2)
    with session_scope(world.engine) as session:  # a scheduler fires, begins its job, and is killed
        [due] = schedules.enabled(session)
        listing = schedules.fire(session, due, next_due_at=at(29, 0), now=world.time, lease_seconds=120)
        assert listing is not None
    with pytest.raises(RuntimeError):
        firing.list_and_submit(world.engine, listing, Settings(), now=world.now, progress=killed)

    world.scheduler().round()
    assert world.history() == [("28 02:00", FiringState.LISTING, [])]
    world.pass_time(at(28, 4), world.scheduler())

    assert world.history() == [("28 02:00", FiringState.SUBMITTED, ["a.tif", "b.tif"])]
    with read_scope(world.engine) as session:
        assert len(session.scalars(select(Job)).all()) == 1


def away(*_: object, **__: object) -> None:
    raise ServiceUnavailable("the database is away")


def killed(_: object) -> None:
    raise RuntimeError


def test_a_store_that_is_away_is_asked_again_that_night(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("a.tif")
    world.schedule()
    with monkeypatch.context() as patched:
        patched.setattr("scheduler.schedules.firing.Submitter.submit", away)
        world.pass_time(at(28, 0, 30), world.scheduler())
    assert world.history() == [("28 00:00", FiringState.LISTING, [])]

    world.pass_time(at(28, 2), world.scheduler())

    assert world.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif"])]


def test_a_missing_folder_is_reported_and_the_next_night_is_tried(world: World) -> None:
    world.schedule()
    (world.folder / "in").rmdir()
    world.pass_time(at(28, 12), world.scheduler())
    (world.folder / "in").mkdir()
    world.add("a.tif")
    world.pass_time(at(29, 12), world.scheduler())

    assert [state for _, state, _ in world.history()] == [FiringState.FAILED, FiringState.SUBMITTED]


def test_the_metrics_show_the_result_of_the_latest_firing(world: World) -> None:
    world.schedule()
    (world.folder / "in").rmdir()
    world.pass_time(at(28, 12), world.scheduler())
    settings = Settings(metrics_port=9808)
    backlog_metrics = BacklogMetrics(world.engine, EmptyQueue(), settings)

    backlog_metrics.look()

    labels = {"schedule": "plates", "state": FiringState.FAILED}
    fired = backlog_metrics.metrics.registry.get_sample_value("photochrom_schedule_fired_timestamp_seconds", labels)
    assert fired == at(28, 0).timestamp()


class EmptyQueue(ChunkQueue):
    def __init__(self) -> None:
        pass

    def depth(self) -> int:
        return 0


def test_a_row_that_says_no_time_fails_each_day_and_the_others_go_on(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    with session_scope(world.engine) as session:
        asked = Submission(str(world.folder / "in"), str(world.folder / "elsewhere"), overwrite="new")
        firing.new_schedule(
            session, "spoilt", asked, open_both(asked, S3Options()), cron="0 1 * * *", timezone="UTC", now=SPRING
        )
        session.execute(update(Schedule).where(Schedule.name == "spoilt").values(timezone="Atlantis/Capital"))

    world.pass_time(at(28, 12), world.scheduler())

    assert len(world.history()) == 1
    with read_scope(world.engine) as session:
        [(failed, _)] = schedules.history(session, schedules.named(session, "spoilt").id, limit=9)
        assert schedules.named(session, "spoilt").next_due_at == failed.fired_at + timedelta(days=1)
    assert failed.state == FiringState.FAILED
    assert "Atlantis/Capital" in (failed.message or "")


def test_a_disabled_schedule_is_not_fired_and_an_enabled_one_is(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    with session_scope(world.engine) as session:
        schedules.set_enabled(session, "plates", None, now=world.time)
    world.pass_time(at(28, 12), world.scheduler())
    assert world.history() == []
    with session_scope(world.engine) as session:
        schedules.set_enabled(session, "plates", at(29, 0), now=world.time)

    world.pass_time(at(29, 12), world.scheduler())

    assert len(world.history()) == 1


def test_schedules_keep_to_their_own_times(world: World) -> None:
    world.add("a.tif")
    world.schedule(cron="0 1 * * *")
    with session_scope(world.engine) as session:
        asked = Submission(str(world.folder / "in"), str(world.folder / "elsewhere"), overwrite="new")
        firing.new_schedule(
            session, "hourly", asked, open_both(asked, S3Options()), cron="0 * * * *", timezone="UTC", now=SPRING
        )

    world.pass_time(at(28, 12), world.scheduler())

    assert len(world.history()) == 1
    with read_scope(world.engine) as session:
        assert len(schedules.history(session, schedules.named(session, "hourly").id, limit=99)) == 24


def test_a_name_is_given_once(world: World) -> None:
    world.schedule()

    with pytest.raises(UsageError, match="already"):
        world.schedule()


def test_removing_a_schedule_leaves_its_jobs(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    world.pass_time(at(28, 12), world.scheduler())

    with session_scope(world.engine) as session:
        schedules.remove(session, "plates", now=world.time)

    with read_scope(world.engine) as session:
        assert session.scalar(select(func.count()).select_from(Firing)) == 0
        assert lifecycle.get(session, 1).state == JobState.COMPLETED


def test_the_clock_is_the_real_one_unless_it_is_set(world: World) -> None:
    settings = Settings()
    runner = ScheduleRunner(world.engine, settings, AtOnce())

    runner.round()

    assert abs(runner._now() - utc_now()) < timedelta(minutes=1)


def test_the_stores_of_a_new_schedule_are_opened_before_the_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[int] = []

    def opened(asked: Submission, s3: S3Options) -> tuple[Storage, Storage]:
        pool = world.engine.pool
        assert isinstance(pool, QueuePool)
        connections.append(pool.checkedout())
        return open_both(asked, s3)

    monkeypatch.setattr(actions, "open_both", opened)
    asked = Submission(str(world.folder / "in"), str(world.folder / "out"))
    actions.add(world.engine, "x", asked, cron="0 1 * * *", timezone="UTC", s3=S3Options(), actor=Actor("ada"))

    assert connections == [0]


def edit(world: World, **changes: Any) -> None:
    """What `photochrom schedule edit plates` does with these options."""
    with read_scope(world.engine) as session:
        schedule = schedules.named(session, "plates")
    cron = changes.pop("cron", schedule.cron)
    submission = replace(firing.submission(schedule), **changes)
    actions.edit(
        world.engine, "plates", submission, cron=cron, timezone="Europe/Rome", s3=S3Options(), actor=Actor("ada")
    )


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


@pytest.fixture
def half_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two scans of a manifest; the first attempt of the night has listed one of them and is tried again in a minute."""
    world.add("a.tif", "b.tif", "c.tif")
    (world.folder / "list.csv").write_text("key\na.tif\nb.tif\n")
    world.schedule(manifest=str(world.folder / "list.csv"))
    world.time = at(28, 0)
    with monkeypatch.context() as patched:
        stop_after_the_first_page(patched)
        world.scheduler().round()
    assert jobs(world) == [(JobState.SUBMITTING, 95)]
    return world


def test_an_edit_leaves_no_half_listed_job_in_the_way(half_listed: World) -> None:
    edit(half_listed, quality=90)
    half_listed.time += timedelta(minutes=10)

    half_listed.scheduler().round()

    assert half_listed.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif", "b.tif"])]
    assert jobs(half_listed) == [(JobState.CANCELLED, 95), (JobState.RUNNING, 90)]
    with read_scope(half_listed.engine) as session:
        assert "job 2 lists the source" in str(lifecycle.get(session, 1).listing)


def test_a_new_manifest_leaves_no_half_listed_job_in_the_way(half_listed: World) -> None:
    (half_listed.folder / "list.csv").write_text("key\na.tif\nc.tif\n\n")
    half_listed.time += timedelta(minutes=10)

    half_listed.scheduler().round()

    assert half_listed.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif", "c.tif"])]
    assert jobs(half_listed) == [(JobState.CANCELLED, 95), (JobState.RUNNING, 95)]


def test_a_schedule_that_is_removed_leaves_no_half_listed_job(half_listed: World) -> None:
    actions.remove(half_listed.engine, "plates", Actor("ada"))

    half_listed.schedule(quality=90)
    half_listed.time = at(29, 12)
    half_listed.scheduler().round()

    assert jobs(half_listed) == [(JobState.CANCELLED, 95), (JobState.RUNNING, 90)]


def test_a_half_listed_job_that_a_person_continues_is_not_cancelled_by_its_schedule(
    half_listed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with read_scope(half_listed.engine) as session:
        submission = firing.submission(schedules.named(session, "plates"))
    submitter = Submitter(half_listed.engine, s3=S3Options(), chunk_scans=64, checkpoints=list, actor=Actor("ada"))
    with monkeypatch.context() as patched:
        stop_after_the_first_page(patched)
        with pytest.raises(ServiceUnavailable):
            submitter.submit(submission)
    edit(half_listed, quality=90)
    half_listed.time += timedelta(minutes=10)

    half_listed.scheduler().round()

    assert jobs(half_listed) == [(JobState.SUBMITTING, 95)]
    [(_, state, _)] = half_listed.history()
    assert state == FiringState.FAILED


def test_a_scheduler_that_lost_its_lease_starts_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was frozen at the end of its listing for so long that another scheduler has listed the source."""
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)

    def thaw(*_: object) -> None:
        monkeypatch.undo()
        world.time += timedelta(minutes=10)
        edit(world, quality=90)
        world.scheduler().round()

    monkeypatch.setattr("scheduler.submission.submitter._expect_scans", thaw)
    world.scheduler().round()

    assert jobs(world) == [(JobState.CANCELLED, 95), (JobState.RUNNING, 90)]
    assert world.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif"])]


def test_a_scheduler_that_lost_its_lease_leaves_the_job_of_its_new_holder_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was frozen before it began a job, until another scheduler has listed half of the source."""
    world.add("a.tif", "b.tif")
    world.schedule()
    world.time = at(28, 0)

    def thaw(*_: object) -> None:
        monkeypatch.undo()
        world.time += timedelta(minutes=10)
        edit(world, quality=90)
        with monkeypatch.context() as patched:
            stop_after_the_first_page(patched)
            world.scheduler().round()

    monkeypatch.setattr(Submitter, "_selection", thaw)
    world.scheduler().round()

    assert jobs(world) == [(JobState.SUBMITTING, 90)]


def test_a_nightly_job_says_which_schedule_submitted_it(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    world.pass_time(at(28, 12), world.scheduler())

    with read_scope(world.engine) as session:
        assert lifecycle.get(session, 1).submitted_by == "schedule plates"


def firings(world: World) -> list[tuple[str, str]]:
    """(schedule, result) of every firing, oldest first."""
    with read_scope(world.engine) as session:
        rows = session.execute(select(Schedule.name, Firing.state).join(Firing).order_by(Firing.id))
        return [(name, state) for name, state in rows]


@pytest.fixture
def six_due(world: World) -> World:
    world.add("a.tif")
    for number in range(6):
        world.schedule(name=f"{number}", out=f"out {number}")
    world.time = at(28, 0)
    return world


def test_a_scheduler_fires_no_more_schedules_than_it_can_list_at_once(six_due: World) -> None:
    executor, another = Later(), Later()
    busy = six_due.scheduler(executor)

    for _ in range(2):
        busy.round()
    assert firings(six_due) == [("0", FiringState.LISTING), ("1", FiringState.LISTING)]
    six_due.scheduler(another).round()
    assert [name for name, _ in firings(six_due)] == ["0", "1", "2", "3"]
    executor.run()
    busy.round()

    assert [name for name, _ in firings(six_due)] == ["0", "1", "2", "3", "4", "5"]
    assert firings(six_due)[0] == ("0", FiringState.SUBMITTED)
    another.run()


def test_a_listing_that_kills_its_scheduler_each_time_costs_the_others_no_try(six_due: World) -> None:
    for _ in range(firing.TRIES + 1):
        six_due.scheduler(Killed()).round()
        six_due.time += timedelta(seconds=125)

    assert {state for _, state in firings(six_due)} == {FiringState.LISTING}
    six_due.pass_time(at(28, 6), six_due.scheduler())
    assert sorted(firings(six_due)) == [(f"{number}", FiringState.SUBMITTED) for number in range(6)]


class Killed(Executor):
    """Is killed before it begins what is submitted to it: nothing runs, and no lease is extended."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        fn.args[1].close()  # type: ignore[attr-defined]  # the threads of a killed process end with it
        return Future()


def test_a_listing_that_waits_for_a_thread_is_handed_back_when_its_scheduler_stops(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)
    executor = Later()
    stopped = world.scheduler(executor)
    stopped.round()
    stopped.stop()

    executor.run()
    assert (jobs(world), world.history()) == ([], [("28 00:00", FiringState.LISTING, [])])
    world.scheduler().round()

    assert world.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif"])]


def test_what_waits_longest_is_begun_first_whether_it_was_tried_before_or_not(world: World) -> None:
    """So schedules whose store is away keep nobody from the others."""
    world.add("a.tif")
    for number in range(2):
        world.schedule(name=f"away {number}", out=f"away {number}")
    world.schedule(cron="1 1 * * *", name="new", out="new")
    world.time = at(28, 0)
    world.scheduler(Killed()).round()  # its leases end after two minutes
    world.time = at(28, 0, 3)

    world.scheduler(Killed()).round()

    with read_scope(world.engine) as session:
        rows = session.execute(select(Schedule.name, Firing.attempt).join(Firing).order_by(Firing.id))
        assert [tuple(row) for row in rows] == [("away 0", 2), ("away 1", 1), ("new", 1)]


@pytest.fixture
def actions_by_its_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """What people do happens at the world's time."""
    monkeypatch.setattr(actions, "database_now", lambda _: world.time)
    return world


def next_time(world: World) -> datetime | None:
    with read_scope(world.engine) as session:
        return schedules.named(session, "plates").next_due_at


def test_an_edit_keeps_a_night_that_is_due(actions_by_its_clock: World) -> None:
    world = actions_by_its_clock
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0, 5)
    edit(world, quality=90)
    edit(world, cron="0 3 * * *")

    world.scheduler().round()

    assert world.history() == [("28 00:05", FiringState.SUBMITTED, ["a.tif"])]
    assert jobs(world) == [(JobState.RUNNING, 90)]
    assert next_time(world) == at(28, 2)


def test_an_edit_of_its_times_moves_a_schedule_and_no_other_edit_does(actions_by_its_clock: World) -> None:
    world = actions_by_its_clock
    world.schedule()
    with session_scope(world.engine) as session:  # a person wants to skip a night
        session.execute(update(Schedule).values(next_due_at=at(29, 0)))

    edit(world, quality=90)
    assert next_time(world) == at(29, 0)
    edit(world, cron="0 3 * * *")
    assert next_time(world) == at(28, 2)


@pytest.mark.parametrize(
    ("change", "quality", "following"),
    [({"quality": 90}, 90, at(29, 0)), ({"cron": "0 3 * * *"}, 95, at(28, 2))],
    ids=["options", "times"],
)
def test_a_schedule_is_fired_as_it_was_edited_last(
    actions_by_its_clock: World, change: dict[str, Any], quality: int, following: datetime
) -> None:
    """The edit comes after a scheduler has read what is due, and before it fires that."""
    world = actions_by_its_clock
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)
    with read_scope(world.engine) as session:
        [due] = schedules.due(session, world.time)
    edit(world, **change)
    world.scheduler()._fire(due, world.time)
    world.scheduler().round()

    assert jobs(world) == [(JobState.RUNNING, quality)]
    assert next_time(world) == following
    with read_scope(world.engine) as session:
        assert session.scalars(select(Firing.due_at)).all() == [at(28, 0)]


def test_a_disabled_schedule_tries_no_listing_again(half_listed: World) -> None:
    actions.disable(half_listed.engine, "plates", Actor("ada"))
    half_listed.time += timedelta(minutes=10)

    half_listed.scheduler().round()

    assert half_listed.history() == [("28 00:00", FiringState.FAILED, [])]
    assert jobs(half_listed) == [(JobState.CANCELLED, 95)]


def test_a_schedule_that_is_disabled_while_it_is_listed_starts_no_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)
    disable = lambda *_: actions.disable(world.engine, "plates", Actor("ada"))  # noqa: E731
    monkeypatch.setattr("scheduler.submission.submitter._expect_scans", disable)

    world.scheduler().round()

    assert jobs(world) == [(JobState.CANCELLED, 95)]
    assert world.history() == [("28 00:00", FiringState.FAILED, [])]


def test_a_run_that_a_person_started_goes_on_though_its_schedule_is_disabled(half_listed: World) -> None:
    with session_scope(half_listed.engine) as session:
        session.execute(update(Firing).values(due_at=None))  # as `photochrom schedule run` adds it
    actions.disable(half_listed.engine, "plates", Actor("ada"))
    half_listed.time += timedelta(minutes=10)

    half_listed.scheduler().round()

    assert half_listed.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif", "b.tif"])]


def test_a_running_job_is_known_to_its_schedule_though_nothing_could_be_written_after_its_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)
    with monkeypatch.context() as patched:
        patched.setattr(firing, "_finish", away)
        world.scheduler().round()
    edit(world, quality=90)
    world.add("b.tif")
    world.time += timedelta(minutes=10)

    world.scheduler().round()

    assert jobs(world) == [(JobState.RUNNING, 95)]
    assert world.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif"])]
