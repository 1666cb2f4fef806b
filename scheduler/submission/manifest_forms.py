"""The forms of a manifest, recognized by its first line that is not blank; see scheduler.submission.manifest."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from worker.scans import is_scan_key

COLUMNS = {"key", "etag", "bytes", "output"}
# Lines of GNU's `sha256sum` and similar programs, and of BSD's.
_CHECKSUM = re.compile(r"(?:[0-9a-fA-F]{32,128} [ *](?P<gnu>.+)|[A-Z0-9-]+ \((?P<bsd>.+)\) = [0-9a-fA-F]{32,128})")
# Besides the comma: from Excel in most of Europe, and from text exports.
_DELIMITERS = {";": "a semicolon", "\t": "a tab"}
# A line for Excel alone; the header says the same.
_SEPARATOR = re.compile('"?sep=.?"?', re.IGNORECASE)

Rows = Iterator[tuple[int, object]]


def rows_of(text: Iterable[str]) -> Rows:
    """Each entry with its line's number. Raises ValueError or csv.Error for an invalid manifest."""
    blank, first = _until_the_first_that_says_something(text)
    if _SEPARATOR.fullmatch(first.strip()):
        more, second = _until_the_first_that_says_something(text)
        blank, first = [*blank, "\n", *more], second
    lines = chain(blank, [first], text)
    start = first.lstrip()
    if start.startswith("["):
        return _json_array(lines)
    if start.startswith("{"):
        return ((number, json.loads(line)) for number, line in enumerate(lines, 1) if line.strip())
    if _CHECKSUM.fullmatch(first.rstrip("\r\n")):
        return _checksum_list(lines)
    return _csv(lines, _delimiter(first))


def _until_the_first_that_says_something(lines: Iterable[str]) -> tuple[list[str], str]:
    blank: list[str] = []
    for line in lines:
        if line.strip():
            return blank, line
        blank.append(line)
    return blank, ""


def _json_array(lines: Iterable[str]) -> Rows:
    """Entries of a JSON array of keys, or of objects as in JSON lines. The number is that of the entry."""
    entries = json.loads("".join(lines))
    return ((number, {"key": entry} if isinstance(entry, str) else entry) for number, entry in enumerate(entries, 1))


def _checksum_list(lines: Iterable[str]) -> Rows:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _CHECKSUM.fullmatch(line.rstrip("\r\n"))
        if match is None:
            raise ValueError(f"{line.strip()[:60]!r} is not a line of a checksum list, but the first line is one")
        yield number, {"key": match["gnu"] or match["bsd"]}


def _delimiter(header: str) -> str:
    """The delimiter with which the header has a column `key`; a comma if there is none."""
    return next((mark for mark in (",", *_DELIMITERS) if "key" in _names(header, mark)), ",")


def _names(header: str, delimiter: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in header.split(delimiter)]


def _csv(lines: Iterable[str], delimiter: str) -> Rows:
    rows = ((number, row) for number, row in _records(lines, delimiter) if any(map(str.strip, row)))
    number, header = next(rows, (0, []))
    names = [name.strip().lower() for name in header]
    has_header = "key" in names
    if not has_header:
        names, rows = ["key"], chain([(number, header)] if header else [], rows)  # type: ignore[assignment]
    columns = [name for name in names if name in COLUMNS]
    if len(columns) != len(set(columns)):
        raise ValueError(f"a column comes twice among {', '.join(columns)}")
    for number, row in rows:
        if any(row[len(names) :]):
            # A key with a comma in it would be cut and mean another scan.
            raise ValueError(f"{len(row)} values, expected {len(names)}: quote what has a comma, or give a header")
        if not has_header:
            _expect_a_key_alone(row[0])
        yield number, dict(zip(names, row, strict=False))


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of its first line. A quoted value may have several lines."""
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    line = 1
    for row in reader:
        yield line, row
        line = reader.line_num + 1


def _expect_a_key_alone(line: str) -> None:
    """Raises ValueError for a line such as `a.tif;17`, `17;a.tif` or `a.tif;b.tif`, which would become a key that no
    store has.
    """
    for mark, name in _DELIMITERS.items():
        values = line.split(mark)
        if len(values) > 1 and any(map(is_scan_key, values)):
            columns = f"key{mark}bytes or key{mark}output".encode("unicode_escape").decode()
            raise ValueError(
                f"{line[:80]!r} has {name} after {values[0]!r}: give a header that names the columns, such as "
                f"{columns}; or, if the name itself has {name}, write key as the first line"
            )
