"""The time. Every query that needs it takes `now`, so that tests set it."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def utc_now() -> datetime:
    """By this machine's clock, which another machine's need not agree with."""
    return datetime.now(UTC)


def database_now(session: Session) -> datetime:
    """By the database's clock, the one that all machines share: it decides on leases, heartbeats and pauses.

    An SQLite database has no clock but that of the one machine it is used on.
    """
    if session.get_bind().dialect.name != "postgresql":
        return utc_now()
    # Not now(), which is when the transaction began: it may have waited for a lock since.
    moment = session.scalar(select(func.clock_timestamp()))
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC)
