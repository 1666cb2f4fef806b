"""The base of every error that Photochrom raises on purpose, and the database's own.

A message says, in one line, what was given, what was expected and what to do. It is printed, logged and stored
unchanged, so it never contains a secret.
"""

from typing import ClassVar


class PhotochromError(Exception):
    """Base of all errors. `exit_status` is the exit status of the command: 2 for wrong use, 3 if a service can't be
    reached.
    """

    exit_status: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(PhotochromError):
    """The request can't be carried out as it is; a person must change it."""


class NotFound(UsageError):
    """The named thing does not exist, or this user may not see it."""


class Conflict(UsageError):
    """The request is too late: the thing has changed or ended meanwhile."""


class ServiceUnavailable(PhotochromError):
    """The broker, the database, the object store or the model server can't be reached."""

    exit_status = 3


class DatabaseUnavailable(ServiceUnavailable):
    """The database can't be reached, or the connection broke. The transaction was rolled back."""


class DatabaseRefused(PhotochromError):
    """The database refused a row or a statement, because of a fault in Photochrom. The transaction was rolled back."""


class LeaseLost(Exception):
    """The chunk belongs to a later attempt now. The holder must drop its results."""
