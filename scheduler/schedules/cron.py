"""When a cron line is due next, in its own time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from worker.errors import UsageError

NAMES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}


def next_due(cron: str, timezone: str, *, after: datetime) -> datetime:
    """The first time later than `after`, in UTC; raises UsageError for what is no cron line or no time zone.

    As Debian's cron does it where clocks change: a time of day that is skipped in spring is made up for when the
    clocks have moved on, and one that comes twice in autumn counts once. (Celery's own crontab is an hour off there:
    github.com/celery/celery/issues/10107.)
    """
    cron = NAMES.get(cron.strip(), cron)
    fields = len(cron.split())
    if fields != 5:
        raise UsageError(f"--cron {cron!r} has {fields} fields; expected five: '0 1 * * *' is 01:00 each day")
    try:
        for due in CronSim(cron, after.astimezone(zone(timezone))):
            # A time of day that comes twice is found at its first coming, which may lie before `after`.
            if due > after:
                return due.astimezone(UTC)
    except CronSimError as error:
        raise UsageError(f"--cron {cron!r}: {str(error).lower()}; expected '0 1 * * *' for 01:00 each day") from None
    raise UsageError(f"--cron {cron!r} is never due; correct its day and month")


def zone(timezone: str) -> ZoneInfo:
    """Raises UsageError for a name that this machine does not know."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"--timezone {timezone!r} is not known; expected a name such as Europe/Rome or UTC") from None
