"""A job's scans as CSV that a spreadsheet opens without running anything in it."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from db.models.jobs import Scan

SCAN_COLUMNS = tuple(Scan.__table__.columns.keys())

# What makes a spreadsheet read a cell as a formula (OWASP, CSV injection); Excel takes the full-width signs too. Where
# the comma is the decimal sign, cells end at semicolons instead, and quotes within one don't hold it together: what
# looks like one cell here may be several there, each with a beginning of its own.
_FORMULA_START = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def write_csv(rows: Iterable[Mapping[str, Any]], file: TextIO, columns: Sequence[str] | None = None) -> int:
    """Write a header and a line for each row; returns how many rows. None is kept, so there may be any number.

    `columns` are by default those of the first row, and of the table scan where there is none. Open `file` with
    newline="" and encoding="utf-8".
    """
    writer = csv.writer(file)
    count = 0
    for count, row in enumerate(rows, start=1):
        if count == 1:
            columns = columns or tuple(row)
            writer.writerow(columns)
        writer.writerow([cell(row[column]) for column in columns or ()])
    if not count:
        writer.writerow(columns or SCAN_COLUMNS)
    return count


def cell(value: object) -> object:
    """An apostrophe stands before whatever a spreadsheet would run; numbers stay numbers; times are ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    # A lone surrogate (a byte of a file name that is no UTF-8) could not be written.
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return _FORMULA_START.sub(r"\1'", text)
