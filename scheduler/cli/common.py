"""What several commands share: settings, the database, and output as JSON."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine

from db.migrations import check_up_to_date
from db.session import make_engine
from worker.settings.settings import Settings, load_settings


def open_database(settings: Settings) -> Engine:
    """The job database, after a check that its tables fit this version. Raises UsageError, DatabaseUnavailable."""
    engine = make_engine(settings.database)
    check_up_to_date(engine)
    return engine


def configured_database() -> Engine:
    """The job database in the settings. Raises as `open_database`."""
    return open_database(load_settings())


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def print_json_rows(rows: Iterable[Any]) -> None:
    """Print a JSON array, one row at a time, because there may be a million rows."""
    separator = "["
    for row in rows:
        print(separator, json.dumps(row, ensure_ascii=False, default=str), sep="\n", end="")
        separator = ","
    print("\n]" if separator == "," else "[]")
