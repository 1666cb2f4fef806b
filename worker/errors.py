"""Every error that a worker raises on purpose. Their base classes are in db.errors."""

import os

from db.errors import (
    Conflict,
    DatabaseUnavailable,
    LeaseLost,
    NotFound,
    PhotochromError,
    ServiceUnavailable,
    UsageError,
)

__all__ = [
    "CheckpointError",
    "Conflict",
    "CredentialsRefused",
    "DatabaseUnavailable",
    "LeaseLost",
    "NotFound",
    "PhotochromError",
    "ScanError",
    "ServiceUnavailable",
    "StorageUnavailable",
    "UsageError",
    "unusable",
]


class CheckpointError(PhotochromError):
    """A checkpoint is missing, damaged, or made for another network."""


class ScanError(PhotochromError):
    """One scan can't be colourized.

    `code` is stable and goes into the database; `message` is a sentence for a person. A `permanent` error would come
    again at every attempt; any other may pass. Only `worker.tasks` decides on a retry.
    """

    def __init__(self, code: str, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own __reduce__ would pass only `args`, so the code would be lost between processes.
        return _rebuild_scan_error, (self.code, self.message, self.permanent)


def _rebuild_scan_error(code: str, message: str, permanent: bool) -> ScanError:
    return ScanError(code, message, permanent=permanent)


class CredentialsRefused(UsageError):
    """The worker has no credentials for a store, or the store does not accept them. This says nothing about rights."""


class StorageUnavailable(ScanError):
    """The store failed in a way that may pass: a 5xx, a timeout, throttling, a broken connection."""

    def __init__(self, message: str) -> None:
        super().__init__("storage_unavailable", message, permanent=False)


def unusable(error: OSError) -> UsageError:
    """The error for a file that the system does not let this process use. It says which file, and why."""
    if error.filename is None:
        return UsageError(f"the system refused to read or write ({error.strerror or error}); is a disk full?")
    return UsageError(
        f"{os.fsdecode(error.filename)} can't be used ({error.strerror}); let this user use it, or name another place"
    )
