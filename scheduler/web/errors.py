"""Errors of the pages and the API, each with its HTTP status and a stable code."""

from typing import ClassVar

from worker.errors import Conflict, NotFound, PhotochromError, ScanError, ServiceUnavailable, UsageError


class WebError(PhotochromError):
    """Base of the errors that only web requests have."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"


class Unauthenticated(WebError):
    """Nobody has signed in, or the token or session is invalid."""

    status, code = 401, "unauthenticated"


class Forbidden(WebError):
    """The person is known, but may not do this."""

    status, code = 403, "forbidden"


class TooManyRequests(WebError):
    """Too many requests; try again after `retry_seconds`."""

    status, code = 429, "too_many_requests"

    def __init__(self, message: str, retry_seconds: float) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


def status_and_code(error: PhotochromError) -> tuple[int, str]:
    """The HTTP status and the stable code of an error."""
    match error:
        case WebError():
            return error.status, error.code
        case NotFound():
            return 404, "not_found"
        case Conflict():
            return 409, "conflict"
        case ServiceUnavailable():
            return 503, "unavailable"
        case ScanError():
            return (404 if error.code == "source_missing" else 422), error.code
        case UsageError():
            return 422, "invalid"
        case _:
            return 500, "internal"
