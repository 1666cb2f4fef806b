"""Fixtures of the whole suite: real services, started once, clean for every test.

Tests in tests/unit use no service, tests in tests/integration use real services, and tests in tests/acceptance start
real processes of Photochrom. Each test is marked with its tier, so `pytest -m unit` runs one tier.
"""

import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from db.migrations import upgrade
from db.session import make_engine
from scheduler.standalone.services import S3Server, ValkeyServer
from tests.services import PostgreSQLServer
from worker.storage import S3Options

TIERS = ("unit", "integration", "acceptance")
SERVICE_FIXTURES = {
    "valkey",
    "s3_server",
    "bucket",
    "postgresql_server",
    "postgresql_url",
    "migrated_postgresql_url",
    "database_url",
}

EMPTY_ALL_TABLES = """
DO $$ BEGIN
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(format('%I', tablename), ', ') || ' RESTART IDENTITY CASCADE'
        FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    );
END $$
"""


def pytest_configure(config: pytest.Config) -> None:
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: set from the test's folder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        tier = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        if tier in TIERS:
            item.add_marker(tier)
        services = SERVICE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if tier == "unit" and services:
            raise pytest.UsageError(f"{item.nodeid} is a unit test, but uses {sorted(services)}; move it")


@contextmanager
def service_folder() -> Iterator[Path]:
    """A folder for services, outside of pytest's own folder.

    Only its owner can enter pytest's folder, but PostgreSQL runs as another user if the tests run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="photochrom-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _valkey_process() -> Iterator[ValkeyServer]:
    with service_folder() as folder, ValkeyServer(folder) as server:
        yield server


@pytest.fixture(scope="session")
def _s3_process() -> Iterator[S3Server]:
    with service_folder() as folder, S3Server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def _postgresql_process() -> Iterator[PostgreSQLServer]:
    with service_folder() as folder, PostgreSQLServer(folder) as server:
        yield server


@pytest.fixture
def valkey(_valkey_process: ValkeyServer) -> ValkeyServer:
    """A running, empty broker. It is started again if an earlier test stopped it."""
    _valkey_process.start()
    with Redis.from_url(_valkey_process.url) as client:
        client.flushall()
    return _valkey_process


@pytest.fixture
def s3_server(_s3_process: S3Server) -> S3Server:
    """A running S3 server. It is started again if an earlier test stopped it."""
    _s3_process.start()
    return _s3_process


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket; the environment holds what S3 clients need to use it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex}"
    s3_server.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_options(s3_server: S3Server) -> S3Options:
    """The options with which `open_storage` reaches the S3 server of the tests."""
    return S3Options(endpoint_url=s3_server.endpoint_url, attempts=2, timeout_seconds=5.0)


@pytest.fixture
def postgresql_server(_postgresql_process: PostgreSQLServer) -> PostgreSQLServer:
    """A running PostgreSQL. It is started again if an earlier test stopped it."""
    _postgresql_process.start()
    return _postgresql_process


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQLServer) -> str:
    """The SQLAlchemy URL of an empty PostgreSQL database.

    Dropping a database takes a checkpoint, so it is kept until the server's folder is removed.
    """
    name = f"test_{uuid.uuid4().hex}"
    postgresql_server.create_database(name)
    return postgresql_server.url(name)


@pytest.fixture(scope="session")
def _migrated_postgresql(_postgresql_process: PostgreSQLServer) -> str:
    """The name of a database with all tables; tests use it one after another."""
    _postgresql_process.start()
    _postgresql_process.create_database("migrated")
    engine = make_engine(_postgresql_process.url("migrated"))
    upgrade(engine)
    engine.dispose()
    return "migrated"


@pytest.fixture
def migrated_postgresql_url(postgresql_server: PostgreSQLServer, _migrated_postgresql: str) -> str:
    """The URL of a PostgreSQL database whose tables are empty."""
    postgresql_server.run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_migrated_postgresql}'"
    )
    postgresql_server.run(EMPTY_ALL_TABLES, _migrated_postgresql)
    return postgresql_server.url(_migrated_postgresql)


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database whose tables are empty, for tests to copy."""
    folder = tmp_path_factory.mktemp("migrated")
    engine = make_engine(f"sqlite:///{folder / 'made.db'}")
    upgrade(engine)
    engine.dispose()
    # VACUUM INTO writes one file, which includes what is still in the journal.
    with closing(sqlite3.connect(folder / "made.db")) as connection:
        connection.execute(f"VACUUM INTO '{folder / 'photochrom.db'}'")
    return folder / "photochrom.db"


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, migrated_sqlite_file: Path) -> str:
    """The URL of an SQLite database whose tables are empty."""
    shutil.copy(migrated_sqlite_file, sqlite_url.removeprefix("sqlite:///"))
    return sqlite_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The SQLAlchemy URL of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'photochrom.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database whose tables are empty. Each test runs once with SQLite and once with PostgreSQL."""
    return str(request.getfixturevalue(f"migrated_{request.param}_url"))
