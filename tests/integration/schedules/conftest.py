"""Worlds in which schedules are tried."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.models.jobs import JobState
from scheduler.actions import schedules as actions
from tests.integration.schedules.world import World, at, jobs, stop_after_the_first_page


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    return World(engine, tmp_path)


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


@pytest.fixture
def actions_by_its_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """What people do happens at the world's time."""
    monkeypatch.setattr(actions, "database_now", lambda _: world.time)
    return world
