"""A collection as a list of keys: CSV with or without a header, JSON lines, or S3 Inventory; plain or gzipped.

| form | looks like |
|---|---|
| CSV without a header | a key a line: `box 1/0001.tif` |
| CSV with one | columns `key`, and if known `etag`, `bytes`, `output`, in any order; others are passed over |
| JSON lines | `{"key": "box 1/0001.tif", "output": "0001.jpg"}`, with the same names |
| S3 Inventory | its `manifest.json`, in the bucket of its CSV files; keys beside the source are passed over |

A key is relative to the job's source, or a whole `s3://bucket/prefix/key` or path inside it.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import PurePosixPath
from typing import BinaryIO

from scheduler.submission.manifest_file import opened
from scheduler.submission.s3_inventory import inventory_rows
from worker.errors import UsageError
from worker.storage import FolderLocation, S3Options, parse_location
from worker.storage.locations import is_utf8

_MOST_BYTES = 1 << 63  # less than that is a size that the database can keep
_COLUMNS = {"key", "etag", "bytes", "output"}
_UNREADABLE = (
    *(csv.Error, ValueError, KeyError, TypeError, RecursionError),
    *(EOFError, zlib.error, gzip.BadGzipFile),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan of a manifest; what it doesn't say is None."""

    key: str
    etag: str | None = None
    bytes: int | None = None
    output: str | None = None


def read_manifest(where: str, source: str, s3: S3Options) -> Iterator[Entry]:
    """The scans that the manifest at `where` (a file, or s3://bucket/key) lists, with keys relative to `source`.

    Raises UsageError, with the line, for what is no manifest or lies outside the source; ServiceUnavailable.
    """
    relative = _relative_to(source)
    number = 0
    try:
        with opened(where, s3) as file:
            for line, entry in _entries(file, where, source, s3):
                number = line
                key = relative(entry.key)
                if key is None:
                    raise UsageError(f"{entry.key!r} does not lie in the source {source}")
                yield Entry(key, entry.etag, entry.bytes, entry.output)
    except (
        csv.Error,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
    ) as error:
        raise UsageError(f"the manifest {where} can't be read after line {number}: {_reason(error)}") from None
    except UsageError as error:
        raise UsageError(f"the manifest {where}, line {number}: {error.message}") from None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _entries(file: BinaryIO, where: str, source: str, s3: S3Options) -> Iterator[tuple[int, Entry]]:
    """Each entry with its line."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    if where.endswith("manifest.json"):
        return ((number, _entry(found)) for number, found in inventory_rows(json.load(text), source, s3))
    blank, first = _until_the_first_that_says_something(text)
    lines = chain(blank, [first], text)
    return _json_lines(lines) if first.lstrip().startswith(("{", "[{")) else _csv(lines)


def _until_the_first_that_says_something(lines: Iterable[str]) -> tuple[list[str], str]:
    blank: list[str] = []
    for line in lines:
        if line.strip():
            return blank, line
        blank.append(line)
    return blank, ""


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, Entry]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _entry(json.loads(line))


def _csv(lines: Iterable[str]) -> Iterator[tuple[int, Entry]]:
    rows = ((number, row) for number, row in enumerate(csv.reader(lines, strict=True), 1) if row)
    number, header = next(rows, (0, []))
    names = [name.strip().lower() for name in header]
    if "key" not in names:
        # Without a header.
        names, rows = ["key"], chain([(number, header)] if header else [], rows)  # type: ignore[assignment]
    known = [name for name in names if name in _COLUMNS]
    if len(known) != len(set(known)):
        raise ValueError(f"a column comes twice among {', '.join(known)}")
    for number, row in rows:
        if any(row[len(names) :]):
            # A key with a comma in it would be taken for another one.
            raise ValueError(f"{len(row)} values, expected {len(names)}: quote what has a comma, or give a header")
        yield number, _entry(dict(zip(names, row, strict=False)))


def _entry(found: object) -> Entry:
    if not isinstance(found, dict):
        raise TypeError(f'{str(found)[:60]!r}, expected an object with a "key"')
    known = {name: value for name, value in found.items() if name in _COLUMNS and value not in (None, "")}
    if "key" not in known:
        raise ValueError('no "key"')
    size, output = known.get("bytes"), known.get("output")
    etag = str(known.get("etag", "")).strip('"')
    return Entry(
        _key(known["key"]),
        etag or None,
        None if size is None else _bytes(size),
        None if output is None else _key(output),
    )


def _key(given: object) -> str:
    if not isinstance(given, str) or "\0" in given or not is_utf8(given):
        raise ValueError(f"{given!r} is no key; expected a text in UTF-8")
    return given


def _bytes(given: object) -> int:
    size = int(str(given))
    if not 0 <= size < _MOST_BYTES:
        raise ValueError(f"{size} bytes; expected how many the file has")
    return size


def _relative_to(source: str) -> Callable[[str], str | None]:
    """A key as it is relative to the source; None for a whole one that lies elsewhere."""
    location = parse_location(source)
    prefixes = [f"{location.uri}/"]
    if isinstance(location, FolderLocation):
        prefixes.append(f"{location.path.resolve()}/")

    def relative(key: str) -> str | None:
        for prefix in prefixes:
            if key.startswith(prefix):
                return key.removeprefix(prefix)
        whole = key.startswith("s3://") or (isinstance(location, FolderLocation) and key.startswith("/"))
        return None if whole else key

    return relative


def matches(key: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    """Whether a key is wanted: matched by one of `include` (or there is none) and by none of `exclude`.

    Patterns are those of shells, but that `*` takes slashes too; one without a slash is for the name alone.
    """
    included = list(include)
    return (not included or any(_fits(key, each) for each in included)) and not any(
        _fits(key, each) for each in exclude
    )


def _fits(key: str, pattern: str) -> bool:
    return fnmatchcase(key if "/" in pattern else PurePosixPath(key).name, pattern)
