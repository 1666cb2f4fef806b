"""Inserts and updates of many rows at once, in the fastest way of each database."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import ARRAY, Connection, String, Text, Update, bindparam, column, func, insert, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from db.models.base import Base, UtcDateTime
from db.models.jobs import Scan

_FEWEST_THAT_SHARE = 8


def insert_rows(session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with a value for each of `columns`.

    Defaults of the model do not apply here, so pass them as values.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # COPY takes a quarter of the time of INSERT.
        _copy(connection, f"COPY {table.__tablename__} ({', '.join(columns)}) FROM STDIN", rows)
    else:
        session.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])


def update_scans(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the values in each row, found by its `id`. Objects that the session has loaded are not changed."""
    if session.get_bind().dialect.name != "postgresql":
        session.execute(update(Scan), rows)
        return
    # The driver's executemany is not used. It sends statements in a pipeline, during which PostgreSQL's time limit for
    # idle transactions does not run. So a process that is frozen there would keep its locks for ever.
    for names, group in groupby(sorted(rows, key=tuple), key=tuple):
        _update_at_once(session, names, list(group))


def _update_at_once(session: Session, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    # A chunk's scans have half of their values in common. Sent once, these cost next to nothing.
    shared = _shared(names, rows)
    varying = tuple(name for name in names if name not in shared)
    types = _types_of(names)
    parameters: dict[str, Any] = {f"new_{name}": [_plain(row[name], types[name]) for row in rows] for name in varying}
    parameters |= {f"new_{name}": _plain(value, types[name]) for name, value in shared.items()}
    statement = _update_statement(varying, tuple(shared))
    session.execute(statement, parameters, execution_options={"synchronize_session": False})


@lru_cache(maxsize=64)
def _update_statement(varying: tuple[str, ...], shared: tuple[str, ...]) -> Update:
    """Its parameters are named `new_` and the column: arrays of values that vary from row to row, or shared values."""
    # These types have no length: a cast to a length would cut longer texts, but an assignment refuses them.
    plain = {name: Text() if isinstance(type_, String) else type_ for name, type_ in _types_of(varying).items()}
    arrays = [bindparam(f"new_{name}", type_=ARRAY(type_)) for name, type_ in plain.items()]
    columns = (column(name, type_) for name, type_ in plain.items())
    updated = func.unnest(*arrays).table_valued(*columns).render_derived()
    values: dict[str, Any] = {name: updated.c[name] for name in varying if name != "id"}
    values |= {name: bindparam(f"new_{name}", type_=_types_of([name])[name]) for name in shared}
    return update(Scan.__table__).where(Scan.__table__.c.id == updated.c.id).values(values)  # type: ignore[arg-type]


def _shared(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values that all rows have in common.

    Few rows share none here, because almost every set of shared values would be a new statement.
    """
    if len(rows) < _FEWEST_THAT_SHARE:
        return {}
    first = rows[0]
    return {name: first[name] for name in names if name != "id" and all(row[name] == first[name] for row in rows)}


def _types_of(names: Sequence[str]) -> dict[str, TypeEngine[Any]]:
    return {name: Scan.__table__.c[name].type for name in names}


def _plain(value: Any, sql_type: TypeEngine[Any]) -> Any:
    """The driver needs all values of an array to have one Python type."""
    return value if value is None or isinstance(sql_type, UtcDateTime) else sql_type.python_type(value)


def _copy(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    driver = connection.dialect.loaded_dbapi
    try:
        with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        # This bypasses SQLAlchemy's own calls, so its exceptions must be made here.
        raise DBAPIError.instance(statement, None, error, driver.Error, dialect=connection.dialect) from error
