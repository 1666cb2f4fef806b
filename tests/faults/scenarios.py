"""One function for each fault: it breaks a world while a job runs, and the world is compared at the end.

Each returns what it measured, as a sentence.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
from sqlalchemy import create_engine, select, text

from db.clock import utc_now
from db.models import Chunk, ChunkState
from db.queries import chunks, retries, scans
from db.session import read_scope, session_scope
from tests.faults.collection import KILLS_CHILD, KILLS_MODEL_SERVER
from tests.faults.world import World
from tests.flaky_s3 import FlakyS3
from worker.app import make_app
from worker.doorbell import Doorbell
from worker.settings import Settings

MOST_DEVICE_WORK = 1.1


def workers_killed(world: World, times: int) -> str:
    """kill -9 of a worker at random moments, alone or with its whole machine; another is started each time."""
    world.change(PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS="150")
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    kills = 0
    while kills < times and not world.progress().ended:
        world.wait_for((kills + 1) * world.progress().total // (times + 2))
        time.sleep(world.random.uniform(0, 0.5))
        name = world.random.choice(["worker-1", "worker-2"])
        world.kill(name, with_children=world.random.random() < 0.5)
        world.start(name)
        kills += 1
    world.wait_until_completed()
    world.check()
    return f"{kills} kills, device work {world.device_work():.2f}"


def schedulers_killed(world: World, times: int) -> str:
    world.submit()
    world.start("scheduler", "worker-1")
    for number in range(times):
        world.wait_for((number + 1) * world.progress().total // (times + 2))
        world.kill("scheduler")
        time.sleep(1)
        world.start("scheduler")
    world.wait_until_completed()
    world.check()
    return f"{times} kills"


def broker_lost(world: World, times: int) -> str:
    """Stopped and, as it keeps nothing on disk, empty when it comes back."""
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    for number in range(times):
        world.wait_for((number + 1) * world.progress().total // (times + 2))
        world.valkey.kill()
        time.sleep(2)
        world.valkey.start()
    world.wait_until_completed()
    world.check()
    return f"{times} times; device work {world.device_work():.2f}"


def database_away(world: World, seconds: float) -> str:
    """Away for so long, and connections cut at random before and after."""
    world.submit()
    world.postgresql.stop()
    world.start("scheduler", "worker-1", "worker-2")
    time.sleep(5)  # they start without a database, and wait for it
    _start_again(world)
    with _connections_cut(world) as cut:
        world.wait_for(world.progress().total // 4)
    world.postgresql.stop()
    world.kill("worker-2")
    world.start("worker-2")
    time.sleep(seconds)
    _start_again(world)
    with _connections_cut(world, cut):
        world.wait_for(world.progress().total // 2)
    world.wait_until_completed()
    world.check()
    return f"away at the start and {seconds:g} s later, {cut[0]} cuts, device work {world.device_work():.2f}"


def _start_again(world: World) -> None:
    world.postgresql.start()
    world.engine.dispose()
    assert not any(world.ends(name) for name in ("scheduler", "worker-1", "worker-2"))


@contextmanager
def _connections_cut(world: World, cut: list[int] | None = None) -> Iterator[list[int]]:
    """Ends one connection of the workers' or the scheduler's every 0.3 s, counted in the list it gives."""
    count, stop = cut if cut is not None else [0], threading.Event()
    own = create_engine(world.engine.url)
    query = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name <> 'faults' ORDER BY random() LIMIT 1"
    )

    def cut_some() -> None:
        while not stop.wait(0.3):
            with suppress(Exception), own.begin() as connection:
                count[0] += len(connection.execute(query).all())

    thread = threading.Thread(target=cut_some)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()
        own.dispose()


def s3_spoiled(world: World, share: float) -> str:
    with FlakyS3(world.s3.endpoint_url, share=share, hang_seconds=3) as flaky:
        world.change(PHOTOCHROM_S3_ENDPOINT_URL=flaky.endpoint_url, PHOTOCHROM_S3_TIMEOUT_SECONDS="2")
        world.change(PHOTOCHROM_SCAN_ATTEMPTS="6")
        world.submit()
        world.start("scheduler", "worker-1", "worker-2")
        world.wait_until_completed(600)
    world.check()
    spoiled = sum(count for fault, count in flaky.counts.items() if fault != "calls")
    return f"{spoiled} of {flaky.counts['calls']} calls spoiled, device work {world.device_work():.2f}"


def messages_repeated(world: World) -> str:
    """Each message comes three times, old ones again, in any order; one lease is lost while its holder lives."""
    world.submit()
    doorbell = Doorbell(make_app(Settings(broker_url=world.valkey.url, queue=world.name)))
    sent: list[tuple[int, int]] = []
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(0.1):
            with read_scope(world.engine) as session:
                queued = session.execute(select(Chunk.id, Chunk.attempt).where(Chunk.state == ChunkState.QUEUED)).all()
            new = [(row[0], row[1]) for row in queued if (row[0], row[1]) not in sent]
            sent.extend(new)
            again = new * 2 + world.random.sample(sent, min(len(sent), 3))
            world.random.shuffle(again)
            for chunk_id, attempt in again:
                doorbell.ring(chunk_id, attempt)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        world.start("scheduler", "worker-1", "worker-2")
        world.wait_for(world.progress().total // 4)
        held = _freeze_a_holder(world)
        world.wait_until_completed()
    finally:
        stop.set()
        thread.join()
    world.check()
    assert world.device_work() <= MOST_DEVICE_WORK
    return f"{len(sent)} messages three times and more, {held}; device work {world.device_work():.2f}"


def _freeze_a_holder(world: World) -> str:
    """Stop a child until its lease has expired, then let it go on."""
    child = world.random.choice(world.children())
    child.suspend()
    time.sleep(float(world.environment["PHOTOCHROM_LEASE_SECONDS"]) + 1)
    with suppress(psutil.NoSuchProcess):
        child.resume()
    return "one lease lost"


def worker_told_to_stop(world: World) -> str:
    world.change(PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS="300")
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    world.wait_for(world.progress().total // 6)
    world.wait(lambda: bool(_held(world)), 30)
    seconds = world.terminate("worker-1", 30)
    world.start("worker-3")
    before, began = world.progress().done, time.monotonic()
    world.wait_for(before + 1, 5)
    went_on = time.monotonic() - began
    world.wait_until_completed()
    world.check()
    with read_scope(world.engine) as session:
        assert session.scalar(select(Chunk.id).where(Chunk.lost_leases > 0)) is None
    return f"out after {seconds:.1f} s, the others went on after {went_on:.1f} s, no lease lost"


def _held(world: World) -> list[chunks.Message]:
    with read_scope(world.engine) as session:
        return chunks.held_by(session, chunks.holders(session, prefix=""))


def scans_that_kill(world: World) -> str:
    """One kills the child that opens it, one the model server: they alone fail, and the rest is done."""
    world.submit()
    world.start("scheduler", "worker-1")
    world.wait_until_completed()
    world.check(failed={KILLS_CHILD: "worker_killed", KILLS_MODEL_SERVER: "worker_killed"})
    with read_scope(world.engine) as session:
        lost = session.scalar(select(Chunk.killed_children).order_by(Chunk.killed_children.desc()))
    assert lost == 3
    return "within three attempts"


def model_servers_killed(world: World, times: int) -> str:
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    kills = 0
    while kills < times and not world.progress().ended:
        world.wait_for((kills + 1) * world.progress().total // (times + 2))
        time.sleep(world.random.uniform(0, 0.5))
        for server in world.model_servers()[:1]:
            with suppress(psutil.NoSuchProcess):
                world.random.choice(world.model_servers() or [server]).send_signal(signal.SIGKILL)
                kills += 1
    world.wait_until_completed()
    world.check()
    return f"{kills} kills, device work {world.device_work():.2f}"


def credentials_withdrawn(world: World) -> str:
    with FlakyS3(world.s3.endpoint_url, faults=("denied",)) as flaky:
        world.change(PHOTOCHROM_S3_ENDPOINT_URL=flaky.endpoint_url)
        world.submit()
        world.start("scheduler", "worker-1")
        world.wait_for(world.progress().total // 4)
        flaky.share = 1.0
        world.wait_until_completed()
        flaky.share = 0.0
        failed = _retry(world, "denied")
        world.wait_until_completed()
    world.check()
    return f"{failed} scans failed as denied, and were done after retry"


def disk_full(world: World, fill: Callable[[], object], empty: Callable[[], object]) -> str:
    """The destination is a folder on a small disk, which `fill` fills and `empty` empties again."""
    world.change(PHOTOCHROM_OUTAGE_ATTEMPTS="3", PHOTOCHROM_LONGEST_RETRY_PAUSE_SECONDS="1")  # by default an hour
    world.submit()
    world.start("scheduler", "worker-1")
    world.wait_for(world.progress().total // 4)
    fill()
    world.wait_until_completed()
    empty()
    failed = _retry(world, "disk_full")
    world.wait_until_completed()
    world.check()
    return f"{failed} scans failed as disk_full, and were done after retry"


def _retry(world: World, code: str) -> int:
    with session_scope(world.engine) as session:
        assert [each for each, _ in scans.failures_by_code(session, world.job_id)] == [code]
        return retries.retry_failed(session, world.job_id, code=code, now=utc_now())
