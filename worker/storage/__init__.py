"""Where scans lie and colour images go: an S3 prefix or a folder, behind one small protocol.

A leaf: it knows neither Celery nor SQL nor settings, values are passed in. botocore's and the
operating system's exceptions stop here:

| raised by | for | error |
|---|---|---|
| `parse_location`, `check`, `list` | wrong use: malformed, missing, not allowed | UsageError |
| `check`, `list` | the store can't be reached or fails | ServiceUnavailable |
| `fetch`, `store`, `stat` | one scan's trouble that would come again | ScanError, permanent |
| `fetch`, `store`, `stat` | trouble that may pass | StorageUnavailable, or ScanError disk_full |
"""

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


def open_storage(location: Location, *, s3: S3Options) -> Storage:
    """The storage at `location`; asks nothing of it yet, so call `check()` next.

    An S3 storage holds a connection pool: open it once a process, after any fork, and share it between threads.
    Raises UsageError for an S3 endpoint or AWS configuration that can't be one.
    """
    if isinstance(location, S3Location):
        # boto3 takes a third of a second to import, which `photochrom --help` does not have.
        from worker.storage.s3.storage import S3Storage

        return S3Storage(location, s3)
    from worker.storage.folder.storage import FolderStorage

    return FolderStorage(location)
