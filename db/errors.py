"""The base of every error that Photochrom raises on purpose, and the database's own.

A message says, in one line, what was given, what was expected and what to do. It is printed, logged
and stored as it stands, so it never holds a secret.
"""

from typing import ClassVar


class PhotochromError(Exception):
    """Base of all; `exit_status` is what the command line exits with: 2 wrong use, 3 a service can't be reached."""

    exit_status: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(PhotochromError):
    """What was asked for can't be done as asked."""


class NotFound(UsageError):
    """What was named is not there, or not for whoever asks."""


class Conflict(UsageError):
    """It was possible once: what it is about has changed, or ended."""


class ServiceUnavailable(PhotochromError):
    """The broker, the database, the object store or the model server can't be reached."""

    exit_status = 3


class DatabaseUnavailable(ServiceUnavailable):
    """The database can't be reached, or broke off in the middle; what was being written was rolled back."""


class DatabaseRefused(PhotochromError):
    """The database refused a row or a statement, which is a fault of Photochrom's own; nothing of it was kept."""


class LeaseLost(Exception):
    """The chunk is no longer this attempt's: what it still has must be dropped."""
