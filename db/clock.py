"""The time. Every query that needs it takes it as `now`, so that tests can set it."""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, literal, select, type_coerce
from sqlalchemy.orm import Session

from db.models.base import UtcDateTime


def utc_now() -> datetime:
    """The time by this machine's clock; the clocks of other machines may differ."""
    return datetime.now(UTC)


def database_now(session: Session) -> datetime:
    """The time by the database's clock, which all machines share. It decides on leases, heartbeats and pauses.

    For SQLite this is the clock of the machine, because an SQLite database is used on one machine only.
    """
    if session.get_bind().dialect.name != "postgresql":
        return utc_now()
    # now() would give the start of the transaction, which may have waited for a lock since then.
    moment = session.scalar(select(func.clock_timestamp()))
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC)


def database_clock(session: Session) -> ColumnElement[datetime]:
    """The database's clock as an SQL expression, for a statement that needs the time without a query of its own."""
    if session.get_bind().dialect.name != "postgresql":
        return literal(utc_now(), UtcDateTime())
    return type_coerce(func.clock_timestamp(), UtcDateTime())
