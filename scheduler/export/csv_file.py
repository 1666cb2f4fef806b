"""A job's scans as CSV, written so that a spreadsheet does not run any cell as a formula."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from db.models.jobs import Scan

SCAN_COLUMNS = tuple(Scan.__table__.columns.keys())

# Signs that make a spreadsheet read a cell as a formula (OWASP, CSV injection); Excel also takes the full-width signs.
# In countries with a decimal comma, a spreadsheet may split cells at semicolons and ignore quotes inside them. Then one
# cell here becomes several there, and each of them may begin with such a sign.
_FORMULA_START = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def write_csv(rows: Iterable[Mapping[str, Any]], file: TextIO, columns: Sequence[str] | None = None) -> int:
    """Write a header and a line for each row. Returns how many rows.

    No row is kept in memory, so there may be any number.

    The default for `columns` are those of the first row, or of the table scan if there is no row. Open `file` with
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
    """A value as a cell: what a spreadsheet would run gets an apostrophe in front; numbers stay numbers; times are ISO
    8601.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    # A lone surrogate, which stands for a byte of a file name that is not UTF-8, could not be written.
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return _FORMULA_START.sub(r"\1'", text)
