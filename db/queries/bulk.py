"""Many rows at once, as each database takes them fastest."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.models import Base


def insert_rows(session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows that give a value for each of `columns`; a default of the model's must be among them."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # Takes a quarter of the time of INSERT.
        _copy(connection, f"COPY {table.__tablename__} ({', '.join(columns)}) FROM STDIN", rows)
    else:
        session.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])


def _copy(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    driver = connection.dialect.loaded_dbapi
    try:
        with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        # Past SQLAlchemy's own calls, its exceptions don't come by themselves.
        raise DBAPIError.instance(statement, None, error, driver.Error, dialect=connection.dialect) from error
