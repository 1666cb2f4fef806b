"""When a cron line is due next, in its time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from worker.errors import UsageError

NAMES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}


def next_due(cron: str, timezone: str, *, after: datetime) -> datetime:
    """The first time after `after`, in UTC. Raises UsageError for an invalid cron line or time zone.

    When clocks change, it does the same as Debian's cron: a time that is skipped in spring is due right after the
    change, and a time that comes twice in autumn is due once. (Celery's own crontab is wrong by an hour there:
    github.com/celery/celery/issues/10107.)
    """
    cron = NAMES.get(cron.strip(), cron)
    fields = len(cron.split())
    if fields != 5:
        raise UsageError(f"--cron {cron!r} has {fields} fields; expected five: '0 1 * * *' is 01:00 each day")
    try:
        for due in CronSim(cron, after.astimezone(zone(timezone))):
            # For a time that comes twice, the first one is found, which may be before `after`.
            if due > after:
                return due.astimezone(UTC)
    except CronSimError as error:
        raise UsageError(f"--cron {cron!r}: {str(error).lower()}; expected '0 1 * * *' for 01:00 each day") from None
    raise UsageError(f"--cron {cron!r} is never due; correct its day and month")


def zone(timezone: str) -> ZoneInfo:
    """The time zone of this name. Raises UsageError if this machine does not know it."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"--timezone {timezone!r} is not known; expected a name such as Europe/Rome or UTC") from None
