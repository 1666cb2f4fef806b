"""`photochrom schedule`: nightly jobs."""

from typing import Annotated, Any

import typer
from rich.console import Console

from db.clock import database_now
from db.queries import schedules
from db.session import read_scope, session_scope
from scheduler.cli import options as shared
from scheduler.cli.common import configured_database, open_database, print_json
from scheduler.cli.display.job_tables import listing as listing_progress
from scheduler.cli.display.schedule_tables import firings_table, local_time, schedules_table
from scheduler.rows import firing_row, schedule_row
from scheduler.schedules import firing
from scheduler.schedules.cron import next_due
from scheduler.schedules.firing import new_schedule
from scheduler.submission.checkpoints import check_colours
from scheduler.submission.submitter import Submission, open_both
from worker.settings.settings import load_settings

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Cron = Annotated[
    str,
    typer.Option(
        help="When to run: minute, hour, day of month, month, day of week. '0 1 * * *' is every day at 01:00."
    ),
]
Timezone = Annotated[str, typer.Option(help="Time zone of --cron, for example Europe/Rome. Summer time is handled.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def schedule() -> None:
    """Submit new and changed scans at set times, such as every night."""


@app.command()
@shared.with_submission_options
def add(
    name: Name,
    source: shared.Source,
    destination: shared.Destination,
    cron: Cron,
    timezone: Timezone = "UTC",
    *,
    options: dict[str, Any],
) -> None:
    """Add a schedule. Each time, it submits the scans of SOURCE that are new or changed."""
    settings = load_settings()
    submission = Submission(source, destination, overwrite="new", **options)
    check_colours(settings, head=submission.head, embedding=submission.embedding)
    engine, opened = open_database(settings), open_both(submission, settings.s3_options)
    with session_scope(engine) as session:
        now = database_now(session)
        schedule = new_schedule(session, name, submission, opened, cron=cron, timezone=timezone, now=now)
    due = local_time(schedule.next_due_at, schedule.timezone)
    print(f"schedule {schedule.name} starts its first job at {due}; a scheduler must be running then")


@app.command("list")
def list_schedules(json: shared.Json = False) -> None:
    """Show every schedule, when it is due next, and the result of its latest run."""
    with read_scope(configured_database()) as session:
        rows, latest = schedules.listed(session), schedules.latest(session)
    if json:
        print_json([schedule_row(row) for row in rows])
    elif rows:
        Console().print(schedules_table(rows, latest), soft_wrap=True)
    else:
        print("There is no schedule. Add one: photochrom schedule add --help")


@app.command()
def remove(name: Name) -> None:
    """Remove a schedule and its history. The jobs that it made, and their outputs, stay."""
    with session_scope(configured_database()) as session:
        schedules.remove(session, name)
    print(f"schedule {name} is removed")


@app.command()
def enable(name: Name) -> None:
    """Enable a disabled schedule. It does not catch up on the times that it missed."""
    with session_scope(configured_database()) as session:
        schedule = schedules.named(session, name)
        due_at = schedule.next_due_at or next_due(schedule.cron, schedule.timezone, after=database_now(session))
        schedules.set_enabled(session, name, due_at)
    print(f"schedule {name} is due next at {local_time(due_at, schedule.timezone)}")


@app.command()
def disable(name: Name) -> None:
    """Start no new jobs until the schedule is enabled again. A running job continues."""
    with session_scope(configured_database()) as session:
        schedules.set_enabled(session, name, None)
    print(f"schedule {name} is disabled")


@app.command()
def run(name: Name) -> None:
    """Run a schedule now, even if it is disabled. Its times do not change."""
    settings = load_settings()
    engine = open_database(settings)
    with session_scope(engine) as session:
        lease = schedules.fire_by_hand(session, name, now=database_now(session), lease_seconds=firing.LEASE_SECONDS)
    clock = firing.database_clock(engine)
    with firing.held(engine, lease, clock), listing_progress(quiet=False) as progress:
        submitted = firing.list_and_submit(engine, lease, settings, now=clock, progress=progress)
    print(submitted.sentence())


@app.command()
def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the latest runs to show.")] = 30,
    json: shared.Json = False,
) -> None:
    """Show the runs of a schedule: the job that each one made, or why it made none."""
    with read_scope(configured_database()) as session:
        schedule = schedules.named(session, name)
        firings = schedules.history(session, schedule.id, limit=limit)
    if json:
        print_json([firing_row(firing, job) for firing, job in firings])
    else:
        Console().print(firings_table(firings, schedule.timezone), soft_wrap=True)
