"""Processes that are killed, or told to stop, while a job runs; and scans that do the killing.

Each returns what it measured, as a sentence.
"""

import signal
import time
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute

from db.models import Chunk, ChunkState
from db.session import read_scope
from tests.faults.collection import KILLS_CHILD, KILLS_MODEL_SERVER
from tests.faults.outcome import check, device_work
from tests.faults.world import Change, World

OUT_SECONDS = 30.0  # after SIGTERM
GOES_ON_SECONDS = 5.0


def workers_killed(world: World, times: int) -> str:
    """kill -9 of a worker, alone or with its whole machine; another is started each time."""
    world.change(PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS="150")
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    whole = 0
    for _ in world.moments(times):
        name, with_children = world.random.choice(["worker-1", "worker-2"]), world.random.random() < 0.5
        world.kill(name, with_children=with_children)
        world.start(name)
        whole += with_children
    world.wait_until_completed()
    check(world)
    return f"{times} kills, {whole} of them with all children; device work {device_work(world):.2f}"


def schedulers_killed(world: World, times: int) -> str:
    world.submit()
    world.start("scheduler", "worker-1")
    for _ in world.moments(times):
        world.kill("scheduler")
        time.sleep(1)
        world.start("scheduler")
    world.wait_until_completed()
    check(world)
    return f"{times} kills; device work {device_work(world):.2f}"


def model_servers_killed(world: World, times: int) -> str:
    """One of the two that live then; the children wait for the next, so that no chunk is lost and no scan fails."""
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    for _ in world.moments(times):
        world.wait(lambda: bool(world.model_servers()), 30)
        world.random.choice(world.model_servers()).send_signal(signal.SIGKILL)
    world.wait_until_completed()
    check(world)
    assert _most(world, Chunk.lost_leases) == 0
    return f"{times} kills, no lease lost; device work {device_work(world):.2f}"


def worker_told_to_stop(world: World) -> str:
    """SIGTERM while it has chunks in hand: it is out soon, and what it handed back is another's at once."""
    world.change(PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS="300")
    world.submit(chunk_scans=32)  # more than are in hand at once
    world.start("scheduler", "worker-1", "worker-2")
    world.wait_for(world.progress().total // 6)
    world.wait(lambda: bool(_in_hand(world, "worker-1")), 30, every=0.02)
    told = world.now()
    seconds = world.terminate("worker-1", OUT_SECONDS)
    world.start("worker-3")
    world.wait_until_completed()
    check(world)
    assert _most(world, Chunk.lost_leases) == 0
    waits = _waits_of_what_was_handed_back(world, told)
    assert waits, "nothing was handed back"
    went_on = max(waits)
    assert went_on <= GOES_ON_SECONDS, f"what was handed back lay for {went_on:.1f} s"
    return f"out after {seconds:.1f} s, {len(waits)} chunks handed back and taken up within {went_on:.1f} s"


def _in_hand(world: World, name: str) -> list[int]:
    """Chunks that the children of this worker hold."""
    with read_scope(world.engine) as session:
        held = (Chunk.state == ChunkState.LEASED, Chunk.worker.contains(f"-{world.pid(name)}/"))
        return list(session.scalars(select(Chunk.id).where(*held)))


def _waits_of_what_was_handed_back(world: World, since: datetime) -> list[float]:
    """How many seconds each chunk that a worker handed back unfinished lay until another had it."""
    by_chunk: dict[int, list[Change]] = {}
    for change in world.changes():
        by_chunk.setdefault(change.chunk_id, []).append(change)
    waits = []
    for changes in by_chunk.values():
        for place, back in enumerate(changes):
            # A chunk that ends is pending for a moment too, before it is done.
            later = [each for each in changes[place + 1 :] if each.state == ChunkState.LEASED]
            if back.at > since and (back.was, back.state) == (ChunkState.LEASED, ChunkState.PENDING) and later:
                waits.append((later[0].at - back.at).total_seconds())
    return waits


def scans_that_kill(world: World) -> str:
    """One kills the child that opens it, one the model server: they alone fail, and the rest is done."""
    world.submit()
    world.start("scheduler", "worker-1")
    world.wait_until_completed()
    check(world, failed={KILLS_CHILD: "worker_killed", KILLS_MODEL_SERVER: "worker_killed"})
    assert _most(world, Chunk.killed_children) == 3
    return "within three attempts"


def _most(world: World, column: "InstrumentedAttribute[int]") -> int:
    with read_scope(world.engine) as session:
        return session.scalar(select(func.max(column))) or 0
