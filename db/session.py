"""Engines and transactions, for PostgreSQL and SQLite alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from db.errors import UsageError
from db.sqlstates import address, drops_pool, translated

__all__ = ["address", "make_engine", "read_scope", "session_scope"]

CONNECT_SECONDS = 8  # under the ten seconds within which an unreachable service is reported
# A machine that is frozen or cut off in the middle of a write must not hold its rows, and whoever waits for them.
# It counts between statements only: see bulk.update_scans.
IDLE_WRITE_SECONDS = 20


def make_engine(url: str) -> Engine:
    """An engine for `postgresql://...` (or `postgres://...`) or `sqlite:///file`; nothing is connected yet.

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
    if parsed is not None and parsed.get_backend_name() == "postgres":  # as libpq and many a provider write it
        parsed = parsed.set(drivername=parsed.drivername.replace("postgres", "postgresql", 1))
    if parsed is not None and parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("PHOTOCHROM_DATABASE_URL names no file; expected sqlite:////path/to/photochrom.db")
    if parsed is None or parsed.get_backend_name() not in {"postgresql", "sqlite"}:
        raise _refused(f"begins with {url.partition(':')[0][:20]!r}")
    if "@" in (parsed.host or ""):
        # The rest of a password would be taken for the host, and be shown.
        raise _refused("has an @ in its user or password; write it as %40")
    return parsed


def _refused(problem: str) -> UsageError:
    return UsageError(
        f"PHOTOCHROM_DATABASE_URL {problem}; expected "
        "postgresql://user:password@host:5432/database or sqlite:////path/to/photochrom.db"
    )


def _postgresql_engine(url: URL) -> Engine:
    """Safe behind a pooler in transaction mode, where two transactions of one client may meet two servers.

    So nothing may outlive a transaction on the server: neither a prepared statement nor a setting.
    """
    options = {"connect_timeout": CONNECT_SECONDS, "prepare_threshold": None}
    engine = create_engine(url, pool_pre_ping=True, connect_args=options)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.autocommit = True  # transactions begin in _begin, together with their setting

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            # Who only reads holds nobody up, and may take its time over each row.
            idle_seconds = 0 if options.get("photochrom_reads", False) else IDLE_WRITE_SECONDS
            connection.exec_driver_sql(f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{idle_seconds}s'")

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


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """A transaction: committed at the end of the block, rolled back if it raises.

    Raises DatabaseUnavailable while the database can't be reached or used for now, UsageError where a right or a table
    is missing, DatabaseRefused for a statement that breaks a constraint: see db.sqlstates.
    """
    with _errors_translated(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def read_scope(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads, and so never waits for, or holds up, one that writes."""
    reading = engine.execution_options(photochrom_reads=True)
    with _errors_translated(engine), Session(reading, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def _errors_translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise UsageError(f"a number is too large for the database ({error}); expected at most {2**63 - 1}") from error
    except DBAPIError as error:
        if drops_pool(error):
            # After a failover the old server may answer for a while; what is made anew goes to the new one.
            engine.dispose()
        raise translated(engine, error) from error
