"""Nightly jobs over simulated days: what is due is fired once, whatever happens to the schedulers and to the clock."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.pool import QueuePool

from db.clock import utc_now
from db.models.jobs import Job, JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries import schedules
from db.queries.jobs import lifecycle
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import schedules as actions
from scheduler.daemon.backlog_metrics import BacklogMetrics
from scheduler.schedules import firing
from scheduler.schedules.runner import ScheduleRunner
from scheduler.submission.submitter import Submission, open_both
from tests.at_once import AtOnce
from tests.integration.schedules.world import SPRING, World, at, away
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import UsageError
from worker.settings.settings import Settings
from worker.storage import S3Options, Storage


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
    actions.add(world.engine, Settings(), "x", asked, cron="0 1 * * *", timezone="UTC", actor=Actor("ada"))

    assert connections == [0]


def test_a_nightly_job_says_which_schedule_submitted_it(world: World) -> None:
    world.add("a.tif")
    world.schedule()
    world.pass_time(at(28, 12), world.scheduler())

    with read_scope(world.engine) as session:
        assert lifecycle.get(session, 1).submitted_by == "schedule plates"
