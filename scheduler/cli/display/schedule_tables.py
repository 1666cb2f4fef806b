"""Schedules and their runs as people see them in a terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from db.models.jobs import Job
from db.models.schedules import Firing, Schedule
from scheduler.cli.display.columns import Columns
from scheduler.schedules.cron import zone
from worker.errors import UsageError


def schedules_table(schedules: Sequence[Schedule], latest: Mapping[int, Firing]) -> Columns:
    """`latest`: each schedule's latest run, by the schedule's number."""
    lines = []
    for schedule in schedules:
        firing = latest.get(schedule.id)
        lines.append(
            (
                f"{schedule.cron} {schedule.timezone}",
                local_time(schedule.next_due_at, schedule.timezone) if schedule.enabled else "disabled",
                f"{local_time(firing.fired_at, schedule.timezone)} {_state(firing)}" if firing else "",
                f"{schedule.name}: {schedule.source} -> {schedule.destination}",
            )
        )
    return Columns(("when", "next", "latest run", "schedule"), lines)


def firings_table(firings: Sequence[tuple[Firing, Job | None]], timezone: str) -> Columns:
    lines = [
        (
            local_time(firing.due_at, timezone) if firing.due_at else "by hand",
            local_time(firing.fired_at, timezone),
            _state(firing),
            "" if job is None else f"{job.id} {job.state}",
            firing.message or "",
        )
        for firing, job in firings
    ]
    return Columns(("due", "started", "result", "job", "message"), lines)


def local_time(moment: datetime | None, timezone: str) -> str:
    """A time in the schedule's time zone; "" for None."""
    if moment is None:
        return ""
    local: tzinfo
    try:
        local = zone(timezone)
    except UsageError:  # the run's own message says so
        local = UTC
    return f"{moment.astimezone(local):%Y-%m-%d %H:%M %Z}"


def _state(firing: Firing) -> str:
    return firing.state.replace("_", " ")
