"""Opens the file of a manifest: on this machine or on S3, plain or gzipped."""

import gzip
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from worker.errors import ScanError, ServiceUnavailable, StorageUnavailable, UsageError
from worker.storage import S3Location, S3Options, Storage, open_storage, parse_location
from worker.storage.folder.listing import etag_of

_MAX_BYTES = 8 << 30


def manifest_version(where: str, source: str, s3: S3Options) -> str:
    """A text that changes when the manifest's content changes. Raises UsageError, ServiceUnavailable."""
    if not where.startswith("s3://"):
        try:
            with open_regular(Path(where)) as file:
                return etag_of(os.fstat(file.fileno()))
        except OSError as error:
            raise UsageError(f"the manifest {where} can't be opened ({error.strerror}); check its path") from None
        except UsageError as error:
            raise UsageError(f"the manifest {where}: {error.message}") from None
    storage, name = _on_s3(where, source, s3)
    try:
        stored = storage.stat(name)
    except StorageUnavailable as error:
        raise ServiceUnavailable(error.message) from None
    except ScanError as error:
        raise UsageError(error.message) from None
    if stored is None:
        raise UsageError(f"the manifest {where} is not there; check its path")
    return stored.etag


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file.

    Raises OSError, and UsageError for a pipe, a device, a folder, or a file that only the kernel shows (/proc).
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe must not block
    shown = path.resolve()
    if not stat.S_ISREG(os.fstat(number).st_mode) or any(map(shown.is_relative_to, ("/proc", "/sys", "/dev"))):
        os.close(number)
        raise UsageError("it is not a regular file; write the list to a file, and name that file")
    return os.fdopen(number, "rb")


@contextmanager
def opened(where: str, source: str, s3: S3Options) -> Iterator[BinaryIO]:
    """The open file, unpacked if it is gzipped. A file on S3 is fetched first."""
    with tempfile.TemporaryDirectory(prefix="photochrom-manifest-") as folder:
        path = _fetched(where, source, Path(folder), s3) if where.startswith("s3://") else Path(where)
        try:
            file = open_regular(path)
        except OSError as error:
            raise UsageError(f"it can't be opened ({error.strerror}); check its path") from None
        with file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if zipped else file  # type: ignore[misc]


def _fetched(where: str, source: str, folder: Path, s3: S3Options) -> Path:
    storage, name = _on_s3(where, source, s3)
    path = folder / "manifest"
    try:
        storage.fetch(name, path, etag=None, max_bytes=_MAX_BYTES)
    except StorageUnavailable as error:
        raise ServiceUnavailable(error.message) from None
    except ScanError as error:
        raise UsageError(error.message) from None
    return path


def _on_s3(where: str, source: str, s3: S3Options) -> tuple[Storage, str]:
    """The storage with the manifest, and its key. A manifest in the source's bucket is read as the source is."""
    parent, _, name = where.rpartition("/")
    location, scans = parse_location(parent), parse_location(source)
    buckets = [place.bucket for place in (location, scans) if isinstance(place, S3Location)]
    is_beside_scans = len(buckets) == 2 and len(set(buckets)) == 1
    return open_storage(location, s3=s3, is_source=is_beside_scans), name
