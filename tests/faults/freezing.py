"""Children that are stopped for longer than their lease, as on a suspended machine, and then continue.

The function returns what it measured, as a sentence.
"""

import signal

import psutil

from db.models.jobs import Chunk
from tests.faults.killing import most
from tests.faults.outcome import check
from tests.faults.world import World

STAGES = ("fetch", "predict", "store", "record")


def children_frozen(world: World) -> str:
    """One child is frozen at each stage, and another worker does its scans. When the children continue, they change
    nothing.
    """
    world.change(PHOTOCHROM_LEASE_SECONDS="3")
    world.submit()
    world.start("scheduler")
    world.start("worker-1", PHOTOCHROM_CHILDREN=str(len(STAGES)), FREEZE_AT=",".join(STAGES))
    world.wait(lambda: len(_stopped(world, "worker-1")) == len(STAGES), 120)
    children = _stopped(world, "worker-1")
    world.start("worker-2")
    world.wait_until_completed()
    stored_at = world.stored_at()
    assert most(world, Chunk.lost_leases) > 0
    for child in children:
        child.send_signal(signal.SIGCONT)
    world.terminate("worker-1")
    world.wait(lambda: world.ends("worker-1"), 60)
    check(world)
    late = {key for key, time in world.stored_at().items() if stored_at.get(key) != time}
    assert late == set(), "stored by a child that had lost its lease"
    return f"{len(children)} children, at {', '.join(STAGES)}; nothing stored or recorded by them afterwards"


def _stopped(world: World, name: str) -> list[psutil.Process]:
    return [process for process in world.tree(world.pid(name)) if _is_stopped(process)]


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False
