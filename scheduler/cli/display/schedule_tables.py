"""Schedules and their runs as people see them in a terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from rich.table import Table
from rich.text import Text

from db.models.jobs import Job
from db.models.schedules import Firing, Schedule
from scheduler.cli.display.job_tables import printable
from scheduler.schedules.cron import zone
from worker.errors import UsageError


def schedules_table(schedules: Sequence[Schedule], latest: Mapping[int, Firing]) -> Table:
    """`latest`: each schedule's latest run, by the schedule's number."""
    table = Table("schedule", "when", "next", "latest")
    table.add_column("source\ndestination", overflow="fold")
    for schedule in schedules:
        firing = latest.get(schedule.id)
        table.add_row(
            Text(printable(schedule.name)),
            Text(f"{schedule.cron}\n{schedule.timezone}"),
            Text(local_time(schedule.next_due_at, schedule.timezone) if schedule.enabled else "disabled"),
            Text(f"{local_time(firing.fired_at, schedule.timezone)}\n{_state(firing)}" if firing else ""),
            Text(f"{printable(schedule.source)}\n{printable(schedule.destination)}"),
        )
    return table


def firings_table(firings: Sequence[tuple[Firing, Job | None]], timezone: str) -> Table:
    table = Table("due", "started", "result", "job", "job's state")
    table.add_column("message", overflow="fold")
    for firing, job in firings:
        table.add_row(
            Text(local_time(firing.due_at, timezone) if firing.due_at else "by hand"),
            Text(local_time(firing.fired_at, timezone)),
            Text(_state(firing)),
            Text("" if job is None else str(job.id)),
            Text("" if job is None else job.state),
            Text(printable(firing.message or "")),
        )
    return table


def local_time(moment: datetime | None, timezone: str) -> str:
    """In the schedule's time zone; "" for None."""
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
