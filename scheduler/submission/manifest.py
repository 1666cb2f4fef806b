"""Reads a list of keys: CSV, checksums, JSON or an S3 Inventory, plain or gzipped.

| form | looks like |
|---|---|
| CSV without a header | a key a line: `box 1/0001.tif`, or `./box 1/0001.tif`; a semicolon or tab is refused |
| CSV with one | columns `key`, and if known `etag`, `bytes`, `output`, in any order; others are passed over |
| the same with semicolons or tabs | as spreadsheets write it; it needs its header |
| a list of checksums | as `sha256sum` or BSD's `sha256` writes it; the checksums are passed over |
| JSON lines | `{"key": "box 1/0001.tif", "output": "0001.jpg"}`, with the same names |
| a JSON array | of keys, or of such objects |
| S3 Inventory | its `manifest.json`, in the bucket of its CSV files; keys beside the source are passed over |

A key is relative to the job's source, or a whole `s3://bucket/prefix/key` or path inside it.
"""

import csv
import gzip
import io
import json
import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import BinaryIO

from scheduler.submission.key_spool import KeySpool
from scheduler.submission.manifest_file import opened
from scheduler.submission.manifest_forms import COLUMNS, rows_of
from scheduler.submission.s3_inventory import inventory_rows
from worker.errors import UsageError
from worker.scans import is_scan_key
from worker.storage import FolderLocation, S3Options, parse_location
from worker.storage.locations import is_utf8
from worker.storage.spellings import in_one_form

_MOST_BYTES = 1 << 63  # the database can store smaller sizes than this
_UNREADABLE = (
    *(csv.Error, ValueError, KeyError, TypeError, RecursionError),
    *(EOFError, zlib.error, gzip.BadGzipFile),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan of a manifest or a listing. Values that the manifest does not have are None."""

    key: str
    etag: str | None = None
    bytes: int | None = None
    output: str | None = None
    is_archived: bool = False  # in cold storage, by the listing; an inventory may be older than a restore
    line: int = field(default=0, compare=False)  # of the manifest


def read_manifest(where: str, source: str, s3: S3Options) -> Iterator[Entry]:
    """The scans in the manifest at `where` (a file, or s3://bucket/key), with keys relative to `source`.

    Raises UsageError, with the line's number, for an invalid manifest or a key outside the source; and
    ServiceUnavailable.
    """
    relative, is_folder = _relative_to(source), isinstance(parse_location(source), FolderLocation)
    number = 0
    try:
        with opened(where, source, s3) as file, closing(KeySpool()) as seen:
            for line, entry in _entries(file, where, source, s3):
                number = line
                key = relative(entry.key)
                if key is None:
                    raise UsageError(f"{entry.key!r} is not in the source {source}")
                if is_folder:
                    _expect_plain(key, source)
                _expect_once(seen, key, entry.output, line)
                yield replace(entry, key=key, line=line)
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
        place = f"after line {number}" if number else "from its first line on"
        raise UsageError(f"the manifest {where} can't be read {place}: {_reason(error)}") from None
    except UsageError as error:
        raise UsageError(f"the manifest {where}, line {number}: {error.message}") from None


def _expect_plain(key: str, source: str) -> None:
    """Raises UsageError for a scan's key that no folder lists, such as `box/../a.tif`; a key of S3 may have these."""
    if is_scan_key(key) and not {"", ".", ".."}.isdisjoint(key.split("/")):
        plain = posixpath.normpath(key).lstrip("/")
        advice = f"; write {plain!r}" if not plain.startswith("../") else ""
        raise UsageError(f"{key!r} is no plain path inside the source {source}{advice}")


def _expect_once(seen: KeySpool, key: str, output: str | None, line: int) -> None:
    """Raises ValueError if a key or an output comes twice.

    `seen` has the line of each earlier entry, on disk, because there may be ten million.
    """
    first = seen.add_new(f"{key}\0{output or ''}", line)
    if first is not None:
        raise UsageError(f"{key!r} is listed twice, first on line {first}; remove one of the two")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not encoded in UTF-8; save it as UTF-8, in Excel as 'CSV UTF-8'"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def is_inventory(where: str) -> bool:
    """Whether a manifest is an S3 Inventory, by its name."""
    return where.endswith("manifest.json")


def _entries(file: BinaryIO, where: str, source: str, s3: S3Options) -> Iterator[tuple[int, Entry]]:
    """Each entry with its line's number."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    if is_inventory(where):
        rows = inventory_rows(json.load(text), source, s3)
        return ((number, replace(_entry(row), is_archived=is_archived)) for number, row, is_archived in rows)
    return ((number, _entry(row)) for number, row in rows_of(text))


def _entry(row: object) -> Entry:
    if not isinstance(row, dict):
        raise TypeError(f'{str(row)[:60]!r}, expected an object with a "key"')
    columns = {name: value for name, value in row.items() if name in COLUMNS and value not in (None, "")}
    if "key" not in columns:
        raise ValueError('no "key"')
    size, output = columns.get("bytes"), columns.get("output")
    etag = str(columns.get("etag", "")).strip('"')
    return Entry(
        _key(columns["key"]),
        etag or None,
        None if size is None else _bytes(size),
        None if output is None else _key(output),
    )


def _key(text: object) -> str:
    if not isinstance(text, str) or "\0" in text or not is_utf8(text):
        raise ValueError(f"{text!r} is not a key; expected a text in UTF-8")
    if "\\" in text and is_scan_key(text):
        written = text.replace("\\", "/")
        raise ValueError(f"{text!r} has backslashes; write {written!r}")
    while text.startswith("./"):  # as `find .` prints it
        text = text.removeprefix("./")
    return text


def _bytes(value: object) -> int:
    size = int(str(value))
    if not 0 <= size < _MOST_BYTES:
        raise ValueError(f"{size} bytes; expected how many the file has")
    return size


def _relative_to(source: str) -> Callable[[str], str | None]:
    """A function that makes a key relative to the source; it returns None for a whole path outside the source."""
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
    """Whether a key is selected: one of `include` matches it, or there is none; and none of `exclude` matches it.

    Patterns are like a shell's, but `*` also matches slashes. A pattern without a slash is compared with the file name
    only. The Unicode form does not count: an umlaut that is typed as one character matches one of two.
    """
    key, included = in_one_form(key), list(include)
    return (not included or any(_fits(key, pattern) for pattern in included)) and not any(
        _fits(key, pattern) for pattern in exclude
    )


def _fits(key: str, pattern: str) -> bool:
    return fnmatchcase(key if "/" in pattern else PurePosixPath(key).name, in_one_form(pattern))
