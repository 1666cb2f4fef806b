"""`photochrom schedule`: nightly jobs."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console

from db.clock import utc_now
from db.models.schedules import Schedule
from db.queries import schedules
from db.session import read_scope
from scheduler.access.actor import local_actor
from scheduler.actions import schedules as actions
from scheduler.cli import options as shared
from scheduler.cli.common import configured_database, open_database, print_json
from scheduler.cli.display.job_tables import listing as listing_progress
from scheduler.cli.display.schedule_tables import firings_table, local_time, schedules_table
from scheduler.rows import firing_row, schedule_rows
from scheduler.schedules import firing
from scheduler.submission.submitter import Submission
from worker.errors import UsageError
from worker.settings.settings import Settings, load_settings

Keep = Callable[..., tuple[Schedule, list[str]]]

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
    _keep(settings, actions.add, name, submission, cron, timezone)


@app.command()
@shared.with_submission_options
def edit(
    context: typer.Context,
    name: Name,
    source: Annotated[str | None, typer.Option(metavar="SOURCE", help="The new source.")] = None,
    destination: Annotated[str | None, typer.Option(metavar="DESTINATION", help="The new destination.")] = None,
    cron: Annotated[str | None, typer.Option(help="The new times, as for schedule add.")] = None,
    timezone: Annotated[str | None, typer.Option(help="The new time zone of the times.")] = None,
    *,
    options: dict[str, Any],
) -> None:
    """Change a schedule, from its next run on. Options that you leave out stay as they are; "" clears a text."""
    settings = load_settings()
    with read_scope(open_database(settings)) as session:
        schedule = schedules.named(session, name)
    places = {"source": source, "destination": destination}
    changes: dict[str, Any] = {key: place for key, place in places.items() if place is not None}
    changes |= {key: _cleared(value) for key, value in options.items() if _is_typed(context, key)}
    if not changes and cron is None and timezone is None:
        raise UsageError(f"photochrom schedule edit {name}: expected at least one option that is to change; see --help")
    submission = replace(firing.submission(schedule), **changes)
    _keep(settings, actions.edit, name, submission, cron or schedule.cron, timezone or schedule.timezone)


def _is_typed(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _cleared(value: Any) -> Any:
    """None, or an empty tuple, if the option was typed as ""."""
    if isinstance(value, tuple):
        return tuple(text for text in value if text)
    return None if value == "" else value


def _keep(settings: Settings, keep: Keep, name: str, submission: Submission, cron: str, timezone: str) -> None:
    """Add or edit the schedule, and print when it next starts a job."""
    engine = open_database(settings)
    schedule, same_destination = keep(
        engine, settings, name, submission, cron=cron, timezone=timezone, actor=local_actor()
    )
    if schedule.next_due_at is None:
        print(f"schedule {name} is changed; it is disabled, until photochrom schedule enable {name}")
    else:
        due = local_time(schedule.next_due_at, schedule.timezone)
        if schedule.next_due_at > utc_now():
            print(f"schedule {name} starts its next job at {due}; a scheduler must be running then")
        else:
            print(f"schedule {name} has been due since {due}; the next scheduler that is free starts its job")
    if same_destination:
        print(
            f"warning: {schedule.destination} is the destination of {', '.join(same_destination)} too", file=sys.stderr
        )


@app.command("list")
def list_schedules(json: shared.Json = False) -> None:
    """Show every schedule, when it is due next, and the result of its latest run."""
    with read_scope(configured_database()) as session:
        rows, latest = schedules.listed(session), schedules.latest(session)
    if json:
        print_json(schedule_rows(rows))
    elif rows:
        Console().print(schedules_table(rows, latest), soft_wrap=True)
    else:
        print("There is no schedule. Add one: photochrom schedule add --help")


@app.command()
def remove(name: Name) -> None:
    """Remove a schedule and its history. The jobs that it made, and their outputs, stay."""
    actions.remove(configured_database(), name, local_actor())
    print(f"schedule {name} is removed")


@app.command()
def enable(name: Name) -> None:
    """Enable a disabled schedule. It does not catch up on the times that it missed."""
    schedule = actions.enable(configured_database(), name, local_actor())
    assert schedule.next_due_at is not None
    due_at = schedule.next_due_at
    print(f"schedule {name} is due next at {local_time(due_at, schedule.timezone)}")


@app.command()
def disable(name: Name) -> None:
    """Start no new jobs until the schedule is enabled again. A running job continues."""
    actions.disable(configured_database(), name, local_actor())
    print(f"schedule {name} is disabled")


@app.command()
def run(name: Name) -> None:
    """Run a schedule now, even if it is disabled. Its times do not change."""
    settings = load_settings()
    engine = open_database(settings)
    lease = actions.run_now(engine, name, local_actor())
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
