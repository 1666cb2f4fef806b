"""Engines and transactions, for PostgreSQL and SQLite alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from db.errors import DatabaseUnavailable, UsageError

_ADDRESS = {"host", "hostaddr", "port"}  # what a URL's query may say of the server, and no secret
CONNECT_SECONDS = 8  # under the ten seconds within which an unreachable service is reported
# A machine that is frozen or cut off in the middle of a write must not hold its rows, and whoever waits for them.
# It counts between statements only: see bulk.update_scans.
IDLE_WRITE_SECONDS = 20
_IDLE_IN_TRANSACTION = "25P03"  # what PostgreSQL says then


def make_engine(url: str) -> Engine:
    """An engine for `postgresql://...` or `sqlite:///file`; nothing is connected yet.

    Raises UsageError for a URL that is neither.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        return _postgresql_engine(parsed)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise UsageError(
            f"the database {parsed.drivername}://... needs a driver that is not installed; "
            "begin it with postgresql:// and install Photochrom with its extra: pip install 'photochrom[postgresql]'"
        ) from None


def _parse(url: str) -> URL:
    """The text itself may hold a password, so an error repeats nothing of it but its scheme."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    except ValueError:
        raise _refused("has a port that is no number") from None
    if parsed is not None and parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("PHOTOCHROM_DATABASE_URL names no file; expected sqlite:////path/to/photochrom.db")
    if parsed is None or parsed.get_backend_name() not in {"postgresql", "sqlite"}:
        raise _refused(f"begins with {url.partition(':')[0][:20]!r}")
    if "@" in (parsed.host or ""):
        # The rest of a password would be taken for the host, and be shown.
        raise _refused("has an @ in its user or password; write it as %40")
    return parsed


def _refused(why: str) -> UsageError:
    return UsageError(
        f"PHOTOCHROM_DATABASE_URL {why}; expected "
        "postgresql://user:password@host:5432/database or sqlite:////path/to/photochrom.db"
    )


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_WRITE_SECONDS}s'")
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Who only reads holds nobody up, and may take its time over each row.
        if connection.get_execution_options().get("photochrom_reads", False):
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    return engine


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy says, see _begin
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and then writes could find the database busy with no way to wait;
        # one that takes the write lock at its start waits for it.
        reads = connection.get_execution_options().get("photochrom_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def address(engine: Engine) -> str:
    """The database's URL as it may be shown: without the password, and without the query, which may hold one."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """A transaction: committed at the end of the block, rolled back if it raises.

    Raises DatabaseUnavailable when the database can't be reached or the connection breaks.
    """
    with _broken_connections_named(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def read_scope(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads, and so never waits for, or holds up, one that writes."""
    reading = engine.execution_options(photochrom_reads=True)
    with _broken_connections_named(engine), Session(reading, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def _broken_connections_named(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise UsageError(f"a number is too large for the database ({error}); expected at most {2**63 - 1}") from error
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(_unavailable(engine, error)) from error
    except DBAPIError as error:
        if type(error) is DatabaseError:
            raise UsageError(f"{address(engine)} is no database ({error.orig}); name another file") from error
        if not error.connection_invalidated and getattr(error.orig, "sqlstate", None) != _IDLE_IN_TRANSACTION:
            raise
        raise DatabaseUnavailable(_unavailable(engine, error)) from error


def _unavailable(engine: Engine, error: DBAPIError) -> str:
    reason = " ".join(str(error.orig).split())[:300]
    query = {name: value for name, value in engine.url.query.items() if name not in _ADDRESS}
    for secret in (engine.url.password, *query.values()):
        reason = reason.replace(str(secret), "***") if secret else reason
    server = engine.dialect.name != "sqlite"
    remedy = "that the server runs" if server else "that the file can be written and its disk has room"
    return f"the database {address(engine)} can't be used ({reason}); check PHOTOCHROM_DATABASE_URL and {remedy}"
