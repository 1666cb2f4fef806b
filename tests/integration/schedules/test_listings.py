"""Listings that end half-way, wait for others, or go on in a scheduler that was frozen."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from db.models.jobs import JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries import schedules
from db.queries.jobs import lifecycle
from db.session import read_scope
from scheduler.access.actor import Actor
from scheduler.actions import schedules as actions
from scheduler.schedules import firing
from scheduler.submission import submitter as submitter_module
from scheduler.submission.submitter import Submitter
from tests.at_once import Later
from tests.integration.schedules.world import Killed, World, at, away, edit, firings, jobs, stop_after_the_first_page
from worker.errors import CredentialsRefused, ServiceUnavailable
from worker.storage import S3Options


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


def let_the_lease_end(world: World, frozen: pytest.MonkeyPatch) -> None:
    """Ten minutes later the schedule has other options, and what froze the scheduler is gone."""
    frozen.undo()
    world.time += timedelta(minutes=10)
    edit(world, quality=90)


def test_a_scheduler_that_lost_its_lease_starts_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was frozen at the end of its listing for so long that another scheduler has listed the source."""
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)

    def thaw(*_: object) -> None:
        let_the_lease_end(world, monkeypatch)
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
        let_the_lease_end(world, monkeypatch)
        with monkeypatch.context() as patched:
            stop_after_the_first_page(patched)
            world.scheduler().round()

    monkeypatch.setattr(Submitter, "_selection", thaw)
    world.scheduler().round()

    assert jobs(world) == [(JobState.SUBMITTING, 90)]


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


def begin_and_stop(world: World) -> None:
    """A scheduler takes the listing and hands it back, because it stops."""
    stopping = world.scheduler()
    stopping.stop()
    stopping.round()


def begin_and_die(world: World) -> None:
    world.scheduler(Killed()).round()
    world.time += timedelta(seconds=firing.LEASE_SECONDS + 5)


@pytest.fixture
def one_due(world: World) -> World:
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 0)
    return world


def test_a_night_outlives_any_number_of_restarts(one_due: World) -> None:
    for _ in range(firing.TRIES + 3):
        begin_and_stop(one_due)
    assert one_due.history() == [("28 00:00", FiringState.LISTING, [])]

    one_due.scheduler().round()

    assert one_due.history() == [("28 00:00", FiringState.SUBMITTED, ["a.tif"])]


def test_a_night_in_which_its_scheduler_dies_each_time_is_given_up_whether_others_restart_or_not(
    one_due: World,
) -> None:
    for _ in range(firing.TRIES):
        assert firings(one_due) in ([], [("plates", FiringState.LISTING)])
        begin_and_stop(one_due)
        begin_and_die(one_due)

    one_due.scheduler().round()

    with read_scope(one_due.engine) as session:
        [row] = session.scalars(select(Firing))
    assert (row.state, row.tries) == (FiringState.FAILED, firing.TRIES)
    assert f"given up after {firing.TRIES} tries: its scheduler died" in (row.message or "")


def test_a_run_that_a_person_leaves_to_the_schedulers_has_all_its_tries(actions_by_its_clock: World) -> None:
    actions_by_its_clock.schedule()
    actions.run_soon(actions_by_its_clock.engine, "plates", Actor("ada"))

    actions_by_its_clock.scheduler(Killed()).round()

    with read_scope(actions_by_its_clock.engine) as session:
        assert session.scalars(select(Firing.tries)).all() == [1]


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


def test_a_night_waits_for_credentials_that_have_expired(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("a.tif")
    world.schedule()
    world.time = at(28, 1)

    def refuse(*_: object) -> None:
        raise CredentialsRefused("ExpiredToken")

    with monkeypatch.context() as patched:
        patched.setattr(submitter_module, "open_both", refuse)
        world.scheduler().round()
    assert [state for _, state, _ in world.history()] == [FiringState.LISTING]
    world.time += timedelta(minutes=10)
    world.scheduler().round()

    assert [(state, keys) for _, state, keys in world.history()] == [(FiringState.SUBMITTED, ["a.tif"])]


def test_credentials_that_expire_while_a_source_is_listed_leave_its_job(
    half_listed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CredentialsRefused("ExpiredToken")

    half_listed.time += timedelta(minutes=10)
    with monkeypatch.context() as patched:
        patched.setattr(Submitter, "_insert_all", refuse)
        half_listed.scheduler().round()
    assert jobs(half_listed) == [(JobState.SUBMITTING, 95)]
    half_listed.time += timedelta(minutes=10)
    half_listed.scheduler().round()

    assert jobs(half_listed) == [(JobState.RUNNING, 95)]
