"""How many connections a PostgreSQL server allows, and how many are open."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

_ALLOWED = text(
    """
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        (SELECT CASE WHEN rolconnlimit < 0 THEN 1000000 ELSE rolconnlimit END
         FROM pg_roles WHERE rolname = current_user),
        (SELECT CASE WHEN datconnlimit < 0 THEN 1000000 ELSE datconnlimit END
         FROM pg_database WHERE datname = current_database())
    )
    """
)
_SERVER_PROCESS = text("SELECT pg_backend_pid()")
_OPEN = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")


@dataclass(frozen=True, slots=True)
class Connections:
    """`allowed`: the smallest limit of the server, the role and the database. `pooled`: clients connect to a pooler."""

    allowed: int
    open: int
    pooled: bool


def connections(session: Session) -> Connections | None:
    """The connections; None for SQLite, which counts none."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    return Connections(int(session.scalar(_ALLOWED) or 0), int(session.scalar(_OPEN) or 0), _is_pooled(session))


def _is_pooled(session: Session) -> bool:
    """A server tells each client the number of the process that serves it. A pooler tells its clients numbers of its
    own, because it gives a client another server process with each transaction.
    """
    driver = session.connection().connection.driver_connection
    return driver is not None and driver.info.backend_pid != session.scalar(_SERVER_PROCESS)
