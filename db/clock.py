"""The time. Every query that needs it takes `now`, so that tests set it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
