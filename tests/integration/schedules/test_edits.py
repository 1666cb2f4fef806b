"""Schedules that are edited or disabled while they are due, or while their source is listed."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db.models.jobs import JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries import schedules
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import schedules as actions
from tests.integration.schedules.world import World, at, edit, jobs, next_time


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
