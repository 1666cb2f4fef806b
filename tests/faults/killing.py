"""Workers and model servers that are killed while a job runs, and scans that kill them.

Each function returns what it measured, as a sentence.
"""

import signal
import time

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute

from db.models.jobs import Chunk
from db.session import read_scope
from tests.faults.collection import KILLS_CHILD, KILLS_MODEL_SERVER
from tests.faults.outcome import check, device_work
from tests.faults.world import World


def workers_killed(world: World, times: int) -> str:
    """SIGKILL ends a worker, alone or with all its children, and another worker is started each time."""
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
    """One of the two running model servers is killed. The children that use it wait for the next one, so no chunk is
    lost and no scan fails.
    """
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    for _ in world.moments(times):
        world.wait(lambda: bool(world.model_servers()), 30)
        world.random.choice(world.model_servers()).send_signal(signal.SIGKILL)
    world.wait_until_completed()
    check(world)
    assert most(world, Chunk.lost_leases) == 0
    return f"{times} kills, no lease lost; device work {device_work(world):.2f}"


def scans_that_kill(world: World) -> str:
    """One scan kills the child that opens it, another the model server. Only these two fail; the others are done."""
    world.submit()
    world.start("scheduler", "worker-1")
    world.wait_until_completed()
    check(world, failed={KILLS_CHILD: "worker_killed", KILLS_MODEL_SERVER: "worker_killed"})
    assert most(world, Chunk.killed_children) == 3
    return "within three attempts"


def most(world: World, column: "InstrumentedAttribute[int]") -> int:
    with read_scope(world.engine) as session:
        return session.scalar(select(func.max(column))) or 0
