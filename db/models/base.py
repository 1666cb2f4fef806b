"""What all tables share: the declarative base and column types."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Integer,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase


class UtcDateTime(TypeDecorator[datetime]):
    """A UTC time with its time zone, on every database; SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if value else None


# SQLite numbers rows only if the key's type is plain INTEGER.
BigKey = BigInteger().with_variant(Integer, "sqlite")

# A key is sorted by its bytes, not by the database's language, so that a folder's keys are one range.
KeyText = Text(collation="C").with_variant(Text, "sqlite")


def one_of(column: str, states: tuple[str, ...]) -> CheckConstraint:
    """A constraint: the column has one of these states."""
    listed = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Base(DeclarativeBase):
    pass
