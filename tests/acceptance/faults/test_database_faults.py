"""A database that is read-only for a while, or replaced by its standby. `make faults` has the long forms."""

from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from db.migrations import upgrade
from db.session import make_engine, session_scope
from scheduler.standalone.services import S3Server, ValkeyServer
from tests.acceptance.command import photochrom_here
from tests.faults.collection import Collection
from tests.faults.databases import failover, read_only
from tests.faults.one_destination import two_jobs
from tests.faults.world import World
from tests.rows import make_job
from tests.services import PostgreSQLServer


@pytest.fixture
def world(valkey: ValkeyServer, s3_server: S3Server, postgresql_server: PostgreSQLServer, tmp_path: Path) -> World:
    return World(Collection.make(24), tmp_path / "world", valkey=valkey, s3=s3_server, postgresql=postgresql_server)


def test_a_pool_waits_while_its_database_is_read_only(world: World) -> None:
    with world:
        read_only(world, 3)


def test_a_pool_goes_on_with_the_standby_when_its_database_dies(world: World) -> None:
    with world:
        failover(world)


@pytest.mark.parametrize("command", ["pause 1", "cancel 1", "retry 1", "priority 1 3", "submit in out"])
def test_a_command_says_in_one_line_what_its_role_lacks_or_that_the_database_is_away(
    command: str, postgresql_url: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(b"II")
    engine = make_engine(postgresql_url)
    upgrade(engine)
    make_job(engine, scan_count=1)
    database = engine.url.database
    with session_scope(engine) as session:
        session.execute(text(f"CREATE ROLE \"{database}\" LOGIN PASSWORD 'reads'"))
        session.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{database}"'))
    reader = make_url(postgresql_url).set(username=database, password="reads").render_as_string(hide_password=False)
    read_only_url = f"{postgresql_url}?options=-c%20default_transaction_read_only%3Don"

    refused = photochrom_here(*command.split(), folder=tmp_path, PHOTOCHROM_DATABASE_URL=reader)
    away = photochrom_here(*command.split(), folder=tmp_path, PHOTOCHROM_DATABASE_URL=read_only_url)

    with session_scope(engine) as session:
        session.execute(text(f'DROP OWNED BY "{database}"; DROP ROLE "{database}"'))
    engine.dispose()
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert f"the role {database} lacks" in refused.stderr
    assert (away.returncode, away.stderr.count("\n")) == (3, 1), away.stderr
    assert "read-only now" in away.stderr


def test_two_jobs_on_one_destination_spoil_nothing_of_each_other(world: World) -> None:
    with world:
        two_jobs(world, 1)
