"""Storages for scans and outputs: an S3 prefix or a folder, with one small interface.

This package knows nothing of Celery, SQL or settings; values are passed in. The exceptions of botocore and the
operating system stop here:

| raised by | for | error |
|---|---|---|
| `parse_location`, `check`, `list` | wrong use: malformed, missing, not allowed | UsageError |
| `check`, `list` | the store can't be reached or fails | ServiceUnavailable |
| `fetch`, `store`, `stat` | one scan's trouble that would come again | ScanError, permanent |
| `fetch`, `store`, `stat` | trouble that may pass | StorageUnavailable, or ScanError disk_full |
"""

from dataclasses import replace

from worker.storage.base import Omission, S3Options, Storage, StoredObject, Transfer
from worker.storage.locations import FolderLocation, Location, S3Location, overlap, parse_location

__all__ = [
    "FolderLocation",
    "Location",
    "Omission",
    "S3Location",
    "S3Options",
    "Storage",
    "StoredObject",
    "Transfer",
    "open_storage",
    "overlap",
    "parse_location",
]


def open_storage(location: Location, *, s3: S3Options, is_source: bool = False) -> Storage:
    """Open the storage at `location`. It sends no request, so call `check()` next.

    An S3 storage has a connection pool. Open it once in a process, after any fork, and share it between threads. Raises
    UsageError for an invalid S3 endpoint or AWS configuration.

    is_source: scans are read from it, so `s3.unsigned` counts. A destination needs credentials in any case.
    """
    if isinstance(location, S3Location):
        # Importing boto3 takes a third of a second, which is too long for `photochrom --help`.
        from worker.storage.s3.storage import S3Storage

        return S3Storage(location, s3 if is_source else replace(s3, unsigned=False))
    from worker.storage.folder.storage import FolderStorage

    return FolderStorage(location)
