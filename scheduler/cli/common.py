"""What several commands share: settings, the database, and how a job looks in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from sqlalchemy import Engine

    from worker.settings.settings import Settings


def settings() -> Settings:
    from worker.settings.settings import load_settings

    return load_settings()


def database(of: Settings) -> Engine:
    """The job database, migrated; raises UsageError, DatabaseUnavailable."""
    from db.migrations import check_up_to_date
    from db.session import make_engine

    engine = make_engine(of.database)
    check_up_to_date(engine)
    return engine


def console() -> Console:
    from rich.console import Console

    return Console()


def print_json(data: Any) -> None:
    import json

    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def print_json_rows(rows: Iterable[Any]) -> None:
    """A JSON array, a row at a time: there may be a million."""
    import json

    separator = "["
    for row in rows:
        print(separator, json.dumps(row, ensure_ascii=False, default=str), sep="\n", end="")
        separator = ","
    print("\n]" if separator == "," else "[]")
