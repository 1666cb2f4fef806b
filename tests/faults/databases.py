"""PostgreSQL servers that change while a job runs: read-only for a while, replaced by a standby, or behind a pooler.

Each function returns what it measured, as a sentence.
"""

import time

from sqlalchemy import make_url, text

from db.session import read_scope, session_scope
from tests.conftest import service_folder
from tests.faults.outcome import check, device_work
from tests.faults.world import World
from tests.pgbouncer import PgBouncer
from tests.services import PostgreSQLServer, PostgreSQLStandby

PROCESSES = ("scheduler", "worker-1", "worker-2")


def read_only(world: World, seconds: float) -> str:
    """The server refuses every write with SQLSTATE 25006, as during a failover."""
    world.submit()
    world.start(*PROCESSES)
    world.wait_for(world.progress().total // 4)
    _set_read_only(world, "on")
    try:
        time.sleep(seconds)
        _expect_all_running(world)
    finally:
        _set_read_only(world, "off")
    world.wait_until_completed()
    _expect_all_running(world)
    check(world)
    return f"read-only for {seconds:g} s, device work {device_work(world):.2f}"


def _set_read_only(world: World, state: str) -> None:
    """Make all new connections read-only, and end the open ones, as a failover does."""
    world.postgresql.run(f"ALTER SYSTEM SET default_transaction_read_only = {state}")
    world.postgresql.run("SELECT pg_reload_conf()")
    others = f"datname = '{world.name}' AND pid <> pg_backend_pid()"
    world.postgresql.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    world.engine.dispose()


def failover(world: World) -> str:
    """The primary is killed and its standby promoted. Replication is synchronous, so that no commit is lost."""
    with (
        service_folder() as first,
        service_folder() as second,
        PostgreSQLServer(first, synchronous_standby_names="*", synchronous_commit="on") as primary,
        PostgreSQLStandby(second, primary) as standby,
    ):
        primary.create_database(world.name)
        world.use_database(_url_of_both(world.name, primary, standby))
        world.submit()
        world.start(*PROCESSES)
        world.wait_for(world.progress().total // 4)
        primary.kill()
        time.sleep(3)
        began = time.monotonic()
        standby.promote()
        before = _ended(world)
        world.wait(lambda: _ended(world) > before, 60)
        seconds = time.monotonic() - began
        world.wait_until_completed()
        _expect_all_running(world)
        check(world)
        world.kill_all()
        world.engine.dispose()
    return f"scans recorded again {seconds:.1f} s after the promotion, device work {device_work(world):.2f}"


def _url_of_both(database: str, *servers: PostgreSQLServer) -> str:
    """A URL with both servers, of which the driver chooses the one that accepts writes."""
    url = make_url(servers[0].url(database)).set(host=None, port=None)
    hosts = tuple(f"127.0.0.1:{server.port}" for server in servers)
    return url.set(query={"host": hosts, "target_session_attrs": "read-write"}).render_as_string(hide_password=False)


def _ended(world: World) -> int:
    with read_scope(world.engine) as session:
        return session.scalar(text("SELECT count(*) FROM scan WHERE state <> 'pending'")) or 0


def clock_ahead(world: World, times: int) -> str:
    """Let all leases end an hour earlier, which has the same effect as a clock that is an hour ahead."""
    world.submit()
    world.start(*PROCESSES)
    for jump in range(1, times + 1):
        world.wait_for(jump * world.progress().total // (times + 2))
        with session_scope(world.engine) as session:
            earlier = "lease_expires_at - interval '1 hour'"
            session.execute(text(f"UPDATE chunk SET lease_expires_at = {earlier} WHERE state = 'leased'"))
    world.wait_until_completed()
    _expect_all_running(world)
    check(world)
    world.kill_all()
    return f"{times} times an hour ahead, device work {device_work(world):.2f}"


def pooled(world: World) -> str:
    """All processes reach PostgreSQL through a pooler with four connections."""
    with service_folder() as folder, PgBouncer(folder, world.postgresql, connections=4) as pooler:
        world.change(PHOTOCHROM_DATABASE_URL=pooler.url(world.name))
        world.submit()
        world.start(*PROCESSES)
        world.wait_until_completed()
        _expect_all_running(world)
        check(world)
        world.kill_all()
    return f"device work {device_work(world):.2f}"


def _expect_all_running(world: World) -> None:
    ended = [name for name in PROCESSES if world.ends(name)]
    assert not ended, f"{', '.join(ended)} ended"
