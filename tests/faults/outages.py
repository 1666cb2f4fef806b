"""Services that are away, damage data, or refuse requests while a job runs.

Each function returns what it measured, as a sentence.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import create_engine, text

from db.clock import utc_now
from db.queries.jobs import retries
from db.queries.reports import rows
from db.session import session_scope
from tests.faults.outcome import check, device_work
from tests.faults.world import World
from tests.flaky_s3 import PASSING, FlakyS3

FEWEST_CUTS = 10


def broker_lost(world: World, times: int) -> str:
    """The broker is stopped. It keeps nothing on disk, so it is empty when it is started again."""
    world.submit()
    world.start("scheduler", "worker-1", "worker-2")
    for _ in world.moments(times):
        world.valkey.kill()
        time.sleep(2)
        world.valkey.start()
    world.wait_until_completed()
    check(world)
    return f"{times} times; device work {device_work(world):.2f}"


def database_away(world: World, seconds: float) -> str:
    """The database is away for a while, and connections are cut at random before and after."""
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
    check(world)
    assert cut[0] >= FEWEST_CUTS
    return f"away at the start and {seconds:g} s later, {cut[0]} cuts, device work {device_work(world):.2f}"


def _start_again(world: World) -> None:
    world.postgresql.start()
    world.engine.dispose()
    assert not any(world.ends(name) for name in ("scheduler", "worker-1", "worker-2"))


@contextmanager
def _connections_cut(world: World, cut: list[int] | None = None) -> Iterator[list[int]]:
    """Ends one connection of the workers or the scheduler every 0.3 s. Yields a list that counts them."""
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
    check(world)
    spoiled = sum(count for fault, count in flaky.counts.items() if fault != "calls")
    # The share of spoiled calls is as requested, and each kind of fault occurred.
    assert spoiled >= share * 0.8 * flaky.counts["calls"]
    assert all(flaky.counts[fault] for fault in PASSING), flaky.counts
    return f"{spoiled} of {flaky.counts['calls']} calls spoiled, device work {device_work(world):.2f}"


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
    check(world)
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
    check(world)
    return f"{failed} scans failed as disk_full, and were done after retry"


def _retry(world: World, code: str) -> int:
    with session_scope(world.engine) as session:
        assert [each for _, each, _ in rows.problems_by_code(session, world.job_id)] == [code]
        return retries.retry_failed(session, world.job_id, code=code, now=utc_now())
