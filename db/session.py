"""Engines and transactions, for PostgreSQL and SQLite."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from db.errors import DatabaseUnavailable, UsageError
from db.sqlstates import address, drops_pool, translated

__all__ = ["address", "make_engine", "question_scope", "read_scope", "session_scope"]

CONNECT_SECONDS = 8  # less than the ten seconds within which an unreachable service must be reported
# If a machine freezes or loses its network while it writes, PostgreSQL must release the rows, because others wait for
# them. This limit counts only the time between statements: see bulk.update_scans.
IDLE_WRITE_SECONDS = 20
_ASKS = "photochrom_asks"  # the option of a connection that asks one question


def make_engine(url: str) -> Engine:
    """An engine for `postgresql://...` (or `postgres://...`) or `sqlite:///file`. It does not connect yet.

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
    """The URL may contain a password, so an error shows only its scheme."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    except ValueError:
        raise _refused("has a port that is not a number") from None
    if parsed is not None and parsed.get_backend_name() == "postgres":  # libpq and many providers write it so
        parsed = parsed.set(drivername=parsed.drivername.replace("postgres", "postgresql", 1))
    if parsed is not None and parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("PHOTOCHROM_DATABASE_URL names no file; expected sqlite:////path/to/photochrom.db")
    if parsed is None or parsed.get_backend_name() not in {"postgresql", "sqlite"}:
        raise _refused(f"begins with {url.partition(':')[0][:20]!r}")
    if "@" in (parsed.host or ""):
        # Otherwise a part of the password would be read as the host, and be shown.
        raise _refused("has an @ in its user or password; write it as %40")
    return parsed


def _refused(problem: str) -> UsageError:
    return UsageError(
        f"PHOTOCHROM_DATABASE_URL {problem}; expected "
        "postgresql://user:password@host:5432/database or sqlite:////path/to/photochrom.db"
    )


def _postgresql_engine(url: URL) -> Engine:
    """It works behind a pooler in transaction mode, which may send two transactions of one client to two servers.

    So on the server nothing may last longer than a transaction: no prepared statement and no setting.
    """
    options = {"connect_timeout": CONNECT_SECONDS, "prepare_threshold": None}
    engine = create_engine(url, pool_pre_ping=True, connect_args=options)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.autocommit = True  # transactions begin in _begin, together with their setting

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT" and not options.get(_ASKS, False):
            # A transaction that only reads delays nobody, so it has no time limit.
            idle_seconds = 0 if options.get("photochrom_reads", False) else IDLE_WRITE_SECONDS
            connection.exec_driver_sql(f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{idle_seconds}s'")

    return engine


def _square_root(number: float | None) -> float | None:
    return None if number is None else math.sqrt(number)


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy says, see _begin
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # SQLite has no sqrt before 3.35, nor where it was built without its mathematics; a view needs it.
        connection.create_function("sqrt", 1, _square_root, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that first reads and then writes can fail at once if the database is busy. One that takes the
        # write lock at its start waits for the lock.
        if connection.get_execution_options().get(_ASKS, False):
            return
        reads = connection.get_execution_options().get("photochrom_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """A transaction: committed at the end of the block, rolled back if it raises.

    Raises DatabaseUnavailable while the database can't be reached or used, UsageError if a right or a table is missing,
    DatabaseRefused if a statement breaks a constraint: see db.sqlstates.
    """
    with _errors_translated(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def read_scope(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads. It never waits for a transaction that writes, and never delays one."""
    reading = engine.execution_options(photochrom_reads=True)
    with _errors_translated(engine), Session(reading, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def question_scope(engine: Engine) -> Iterator[Session]:
    """For one statement that only reads. No transaction is opened around it, because that would cost three times as
    much.
    """
    asking = engine.execution_options(**{_ASKS: True, "photochrom_reads": True})
    with _errors_translated(engine), Session(asking, expire_on_commit=False) as session:
        yield session


@contextmanager
def _errors_translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise UsageError(f"a number is too large for the database ({error}); expected at most {2**63 - 1}") from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailable(
            f"all connections of this process to {address(engine)} are in use; it passes when one of them is free"
        ) from error
    except DBAPIError as error:
        if drops_pool(error):
            # After a failover the old server may still answer for some time. New connections go to the new server.
            engine.dispose()
        raise translated(engine, error) from error
