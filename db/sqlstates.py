"""Database errors in three kinds: those that pass by themselves, those that a person must mend, and faults in
Photochrom.

| sort | error | who acts |
|---|---|---|
| passes by itself | DatabaseUnavailable | processes wait and go on, commands say so and exit with 3 |
| wrong use | UsageError | a person: a missing right, an old schema, a file that can't be written |
| refused | DatabaseRefused | nobody: a row that breaks a constraint is a fault of Photochrom's own |

SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re
import sqlite3

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError

from db.errors import DatabaseRefused, DatabaseUnavailable, PhotochromError, UsageError

# These errors pass when a failover ends, a server restarts, a disk has room again, or another transaction ends.
PASSING = {
    "25006": "the server is read-only now, as it is during a failover",
    "25P03": "the transaction was idle for too long",
    "25P04": "the transaction took too long",
    "40001": "another transaction changed the same rows",
    "40P01": "two transactions waited for each other",
    "55P03": "a lock could not be taken in time",
    "57014": "the statement was cancelled or took too long",
    "57P01": "the server shuts down",
    "57P02": "the server broke the connection",
    "57P03": "the server starts up",
    "57P05": "the connection was idle for too long",
}
# Connection, resources (too many connections, disk full, out of memory), operator and system errors.
PASSING_CLASSES = ("08", "53", "58")
# This server may no longer be the one to write to, so all connections to it must be made again.
DROPS_THE_POOL = ("25006", "57P01", "57P02", "57P03", "08", "58")

_NO_RIGHT = "42501"
_OLD_SCHEMA = ("42P01", "42703", "3F000")  # a missing table, column or schema
_UNFIT_VALUE = "22"
_ADDRESS = {"host", "hostaddr", "port"}  # parts of a URL's query that name the server and are no secret
_DENIED = re.compile(r"permission denied for (?:(?:table|relation|view|sequence|schema|database|function) )+\S+")
_NOT_OWNER = re.compile(r"must be owner of \w+ \S+")
# The right that a statement needs on something that is not a table; of a schema, it is CREATE for a new table.
_OTHER_RIGHTS = {"sequence": "USAGE", "database": "CONNECT", "function": "EXECUTE"}
_SQLITE_UNWRITABLE = "SQLITE_READONLY"


def sqlstate_of(error: DBAPIError) -> str:
    """The five letters of the error's SQLSTATE; "" if there was no connection, and for SQLite."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def passes(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later without a person's help."""
    state = sqlstate_of(error)
    if state:
        return state in PASSING or state.startswith(PASSING_CLASSES)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def drops_pool(error: DBAPIError) -> bool:
    """Whether the open connections must not be used again."""
    return error.connection_invalidated or sqlstate_of(error).startswith(DROPS_THE_POOL)


def translated(engine: Engine, error: DBAPIError) -> PhotochromError:
    """Photochrom's own error for this one, with one sentence and without secrets."""
    state, reason = sqlstate_of(error), _reason(engine, error)
    where = f"the database {address(engine)}"
    if state == _NO_RIGHT or (not state and _DENIED.search(reason)):
        return UsageError(f"{where}: {_missing_right(engine, error, reason)}")
    if state in _OLD_SCHEMA or "no such table" in reason or "no such column" in reason:
        return UsageError(f"{where} is not at this version's revision ({reason}); run: photochrom db upgrade")
    if _sqlite_name(error).startswith(_SQLITE_UNWRITABLE):
        return UsageError(f"{where} can't be written ({reason}); check who owns the file and its folder")
    if type(error) is DatabaseError and engine.dialect.name == "sqlite":
        return UsageError(f"{address(engine)} is not a database ({error.orig}); name another file")
    if passes(error):
        return DatabaseUnavailable(_unavailable(engine, state, reason))
    if state.startswith(_UNFIT_VALUE):
        return UsageError(f"{where} can't keep a value ({reason}); correct the value")
    return DatabaseRefused(
        f"{where} refused a statement ({state or type(error).__name__}: {reason}); report this fault"
    )


def address(engine: Engine) -> str:
    """The database's URL without secrets: no password, and of the query, which may contain one, only the servers."""
    servers = {name: value for name, value in engine.url.query.items() if name in _ADDRESS}
    return engine.url.set(query=servers).render_as_string(hide_password=True)


def _unavailable(engine: Engine, state: str, reason: str) -> str:
    server = engine.dialect.name != "sqlite"
    remedy = "that the server runs" if server else "that the file can be written and its disk has room"
    if state in PASSING:
        return f"the database {address(engine)} can't be used now: {PASSING[state]} ({reason}); it passes by itself"
    return f"the database {address(engine)} can't be used ({reason}); check PHOTOCHROM_DATABASE_URL and {remedy}"


def _missing_right(engine: Engine, error: DBAPIError, reason: str) -> str:
    """Which right the role lacks. PostgreSQL names the table, and the statement shows what was done to it."""
    denied, not_owner = _DENIED.search(reason), _NOT_OWNER.search(reason)
    role = engine.url.username or "of this process"
    if not_owner:
        return f"the role {role} lacks ownership ({reason}); use the role that owns the tables"
    thing = denied.group().removeprefix("permission denied for ") if denied else ""
    rights = _rights_needed(str(error.statement or ""), *_sort_and_name(thing))
    lacks = f"{' and '.join(rights)} on {thing}" if thing else "a right"
    return f"the role {role} lacks {lacks} ({reason}); grant it, or use the role that owns the tables"


def _sort_and_name(thing: str) -> tuple[str, str]:
    words = thing.split(" ")
    return words[0], words[-1].strip('"')


def _rights_needed(statement: str, sort: str, name: str) -> tuple[str, ...]:
    if sort == "schema":
        return ("CREATE",) if re.match(r"\s*(CREATE|ALTER)\b", statement, re.IGNORECASE) else ("USAGE",)
    if sort in _OTHER_RIGHTS:
        return (_OTHER_RIGHTS[sort],)
    written = re.search(rf'\b(INSERT INTO|UPDATE|DELETE FROM|COPY)\s+"?{re.escape(name)}\b', statement, re.IGNORECASE)
    if written is None:
        locks = re.search(r"\bFOR (NO KEY UPDATE|UPDATE|SHARE|KEY SHARE)\b", statement)
        return ("SELECT", "UPDATE") if locks else ("SELECT",)
    verb = written.group(1).split()[0].upper()
    return ("INSERT",) if verb == "COPY" else (("SELECT", verb) if verb != "INSERT" else ("INSERT",))


def _sqlite_name(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", "")) if isinstance(error.orig, sqlite3.Error) else ""


def _reason(engine: Engine, error: DBAPIError) -> str:
    reason = " ".join(str(error.orig).split())[:300]
    query = {name: value for name, value in engine.url.query.items() if name not in _ADDRESS}
    for secret in (engine.url.password, *query.values()):
        reason = reason.replace(str(secret), "***") if secret else reason
    return reason
