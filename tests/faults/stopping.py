"""A worker that is told to stop while it holds work: it ends soon, and another worker continues its work."""

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from db.models.jobs import Chunk, ChunkState
from db.session import read_scope
from tests.faults.killing import most
from tests.faults.outcome import check
from tests.faults.world import Change, World

OUT_SECONDS = 30.0
GOES_ON_SECONDS = 5.0
STARTED_SECONDS = 150.0  # enough for a busy machine
# The first worker is slow, so that it still has scans to hand back, however long the other one takes to start.
_FIRST = {"PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "4000"}


def worker_told_to_stop(world: World, tell: Callable[[], object] | None = None, **settings: str) -> str:
    """A worker is told to stop by SIGTERM or by `tell`. It holds the whole job, and another worker has nothing to do.

    settings: those of the worker that is told to stop. Returns what was measured, as a sentence.
    """
    # No lease ends during the test, so the other worker gets only what was handed back.
    world.change(PHOTOCHROM_LEASE_SECONDS="120")
    world.submit(chunk_scans=len(world.collection.scans))
    world.start("scheduler")
    world.start("worker-1", **_FIRST, **settings)
    world.wait(lambda: _holds_one(world, "worker-1"), STARTED_SECONDS)
    _start_one_that_has_nothing_to_do(world, "worker-2")
    world.wait_for(1)
    assert _holds_one(world, "worker-1")
    told, began = world.now(), time.monotonic()
    (tell or (lambda: world.terminate("worker-1")))()
    world.wait(lambda: world.ends("worker-1"), OUT_SECONDS)
    seconds = time.monotonic() - began
    world.wait_until_completed()
    check(world)
    assert most(world, Chunk.lost_leases) == 0
    lay = _handed_over_after(world, told)
    assert lay <= GOES_ON_SECONDS, f"what was handed back lay for {lay:.1f} s while a worker was free"
    return f"out after {seconds:.1f} s; what it handed back lay for {lay:.1f} s"


def _start_one_that_has_nothing_to_do(world: World, name: str) -> None:
    """Start a worker. It is ready when it has ended a job of its own, for which the first worker had no free child."""
    small = world.submit_also(f"s3://{world.name}/small", include=("box 0/00000.png",))
    world.start(name)
    world.wait(lambda: world.ended(small), STARTED_SECONDS)


def _holds_one(world: World, name: str) -> bool:
    """Whether a child of this worker has a chunk in hand."""
    with read_scope(world.engine) as session:
        held = (Chunk.state == ChunkState.LEASED, Chunk.worker.contains(_mark(world, name)))
        return session.scalar(select(Chunk.id).where(*held)) is not None


def _mark(world: World, name: str) -> str:
    """The common part of the names that this worker's children have as holders of leases."""
    return f"-{world.pid(name)}/"


def _handed_over_after(world: World, told: datetime) -> float:
    """The seconds from the moment when the first worker released the job's chunk until the second one claimed it."""
    changes = [each for each in world.changes() if each.job_id == world.job_id and each.at > told]
    back = [each for each in changes if (each.was, each.state) == (ChunkState.LEASED, ChunkState.PENDING)]
    taken = [each for each in changes if _had_by(each, _mark(world, "worker-2"))]
    assert back, "nothing was handed back"
    assert taken, "nobody took what was handed back"
    return (taken[0].at - back[0].at).total_seconds()


def _had_by(change: Change, mark: str) -> bool:
    return change.state == ChunkState.LEASED and mark in (change.worker or "")
