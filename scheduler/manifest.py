"""A collection as a list of keys: CSV with or without a header, JSON lines, or S3 Inventory; plain or gzipped.

| form | looks like |
|---|---|
| CSV without a header | a key a line: `box 1/0001.tif` |
| CSV with one | columns `key`, and if known `etag`, `bytes`, `output`, in any order; others are passed over |
| JSON lines | `{"key": "box 1/0001.tif", "output": "0001.jpg"}`, with the same names |
| S3 Inventory | its `manifest.json`, in the bucket that holds its CSV files |

A key is relative to the job's source, or a whole `s3://bucket/prefix/key` or path inside it.
"""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TextIO
from urllib.parse import unquote_plus

from worker.errors import ScanError, ServiceUnavailable, StorageUnavailable, UsageError
from worker.storage import FolderLocation, S3Options, Storage, open_storage, parse_location
from worker.storage.folder_listing import etag_of

_MAX_BYTES = 8 << 30
_COLUMNS = {"key", "etag", "bytes", "output"}


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
        with _opened(where, s3) as file:
            for line, entry in _entries(file, where, s3):
                number = line
                key = relative(entry.key)
                if key is None:
                    raise UsageError(f"{entry.key!r} does not lie in the source {source}")
                yield Entry(key, entry.etag, entry.bytes, entry.output)
    except (csv.Error, ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile) as error:
        raise UsageError(f"the manifest {where} can't be read after line {number}: {_reason(error)}") from None
    except UsageError as error:
        raise UsageError(f"the manifest {where}, line {number}: {error.message}") from None


def manifest_version(where: str, s3: S3Options) -> str:
    """Changes with the manifest's content; raises UsageError, ServiceUnavailable."""
    if not where.startswith("s3://"):
        try:
            return etag_of(Path(where).stat())
        except OSError as error:
            raise UsageError(f"the manifest {where} can't be opened ({error.strerror}); check its path") from None
    storage, name = _on_s3(where, s3)
    try:
        found = storage.stat(name)
    except StorageUnavailable as error:
        raise ServiceUnavailable(error.message) from None
    except ScanError as error:
        raise UsageError(error.message) from None
    if found is None:
        raise UsageError(f"the manifest {where} is not there; check its path")
    return found.etag


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _entries(file: BinaryIO, where: str, s3: S3Options) -> Iterator[tuple[int, Entry]]:
    """Each entry with its line."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    first = text.readline()
    if where.endswith("manifest.json"):
        return _inventory(json.loads(first + text.read()), s3)
    if first.lstrip().startswith("{"):
        return _json_lines(chain([first], text))
    return _csv(first, text)


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, Entry]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _entry(json.loads(line))


def _csv(first: str, rest: TextIO) -> Iterator[tuple[int, Entry]]:
    rows = csv.reader(chain([first], rest), strict=True)
    header = next(rows, [])
    names = [name.strip().lower() for name in header]
    if "key" not in names:
        rows, names = chain([header], rows), ["key"]  # type: ignore[assignment]
    for number, row in enumerate(rows, 1 if names == ["key"] and header[:1] != ["key"] else 2):
        if row:
            yield number, _entry(dict(zip(names, row, strict=False)))


def _entry(found: dict[str, Any]) -> Entry:
    known = {name: value for name, value in found.items() if name in _COLUMNS and value not in (None, "")}
    if not isinstance(known.get("key"), str):
        raise ValueError('no "key"')
    size = known.get("bytes")
    output = known.get("output")
    if output is not None and not isinstance(output, str):
        raise ValueError(f'"output" is {output!r}, expected a key')
    etag = known.get("etag")
    return Entry(known["key"], str(etag).strip('"') if etag else None, None if size is None else int(size), output)


def _inventory(about: dict[str, Any], s3: S3Options) -> Iterator[tuple[int, Entry]]:
    """What an S3 Inventory report lists: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html"""
    if about.get("fileFormat") != "CSV":
        raise ValueError(f"fileFormat is {about.get('fileFormat')!r}; expected CSV")
    names = [name.strip() for name in about["fileSchema"].split(",")]
    bucket = about["destinationBucket"].removeprefix("arn:aws:s3:::")
    number = 0
    for part in about["files"]:
        with _opened(f"s3://{bucket}/{part['key']}", s3) as file:
            for row in csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline="")):
                number += 1
                found = dict(zip(names, row, strict=True))
                if found.get("IsDeleteMarker") == "true" or found.get("IsLatest") == "false":
                    continue
                # Keys are URL-encoded in the report.
                key = f"s3://{found['Bucket']}/{unquote_plus(found['Key'])}"
                if not key.endswith("/"):
                    yield number, _entry({"key": key, "bytes": found.get("Size"), "etag": found.get("ETag")})


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
        return None if whole or not key or "\0" in key else key

    return relative


@contextmanager
def _opened(where: str, s3: S3Options) -> Iterator[BinaryIO]:
    """The file, unpacked if it is gzipped; one on S3 is fetched first."""
    with tempfile.TemporaryDirectory(prefix="photochrom-manifest-") as folder:
        path = _fetched(where, Path(folder), s3) if where.startswith("s3://") else Path(where)
        try:
            file = path.open("rb")
        except OSError as error:
            raise UsageError(f"it can't be opened ({error.strerror}); check its path") from None
        with file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if zipped else file  # type: ignore[misc]


def _fetched(where: str, folder: Path, s3: S3Options) -> Path:
    storage, name = _on_s3(where, s3)
    path = folder / "manifest"
    try:
        storage.fetch(name, path, etag=None, max_bytes=_MAX_BYTES)
    except StorageUnavailable as error:
        raise ServiceUnavailable(error.message) from None
    except ScanError as error:
        raise UsageError(error.message) from None
    return path


def _on_s3(where: str, s3: S3Options) -> tuple[Storage, str]:
    parent, _, name = where.rpartition("/")
    return open_storage(parse_location(parent), s3=s3), name


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
