"""Commands about nightly jobs: schedule add, list, remove, enable, disable, run, history."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scheduler.cli import options
from scheduler.cli.options import Json

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Cron = Annotated[str, typer.Option(help="Minute, hour, day, month, weekday: '0 1 * * *' is 01:00 each day.")]
Timezone = Annotated[str, typer.Option(help="Whose 01:00: Europe/Rome, for one. Summer time is kept.")]

commands = typer.Typer(help="Nightly jobs: submit what is new and changed, at set times.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    for command in (add, remove, enable, disable, run, history):
        commands.command()(command)
    commands.command("list")(list_schedules)
    app.add_typer(commands, name="schedule", rich_help_panel="Jobs")


@options.of_a_submission
def add(
    name: Name,
    source: options.Source,
    destination: options.Destination,
    cron: Cron,
    timezone: Timezone = "UTC",
    *,
    chosen: dict[str, Any],
) -> None:
    """Submit SOURCE again and again: each time what is new or changed since, and never what is done."""
    from db.clock import database_now
    from db.session import session_scope
    from scheduler.cli import common
    from scheduler.schedules.firing import new_schedule
    from scheduler.submission.submitter import Submission

    settings = common.settings()
    asked = Submission(source, destination, overwrite="new", **chosen)
    engine = common.database(settings)
    with session_scope(engine) as session:
        now = database_now(session)
        made = new_schedule(session, name, asked, cron=cron, timezone=timezone, s3=settings.s3_options, now=now)
    print(f"schedule {made.name} is first due {_local(made.next_due_at, made.timezone)}; a scheduler must run then")


def list_schedules(json: Json = False) -> None:
    """Show every schedule, when it is due next, and what its latest firing came to."""
    from rich.table import Table
    from rich.text import Text

    from db.queries import schedules
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import printable

    with read_scope(common.database(common.settings())) as session:
        found, latest = schedules.listed(session), schedules.latest(session)
    if json:
        common.print_json([_row(each) for each in found])
        return
    table = Table("schedule", "when", "next", "latest")
    table.add_column("source\ndestination", overflow="fold")
    for each in found:
        last = latest.get(each.id)
        table.add_row(
            Text(printable(each.name)),
            Text(f"{each.cron}\n{each.timezone}"),
            Text(_local(each.next_due_at, each.timezone) if each.enabled else "disabled"),
            Text(f"{_local(last.fired_at, each.timezone)}\n{_said(last.state)}" if last else ""),
            Text(f"{printable(each.source)}\n{printable(each.destination)}"),
        )
    common.console().print(table if found else "There is no schedule; photochrom schedule add makes one.")


def remove(name: Name) -> None:
    """Remove a schedule and its history; the jobs that it made, and their outputs, stay."""
    from db.queries import schedules
    from db.session import session_scope
    from scheduler.cli import common

    with session_scope(common.database(common.settings())) as session:
        schedules.remove(session, name)
    print(f"schedule {name} is removed")


def enable(name: Name) -> None:
    """Let a disabled schedule go on, from its next time on."""
    from db.clock import database_now
    from db.queries import schedules
    from db.session import session_scope
    from scheduler.cli import common
    from scheduler.schedules.cron import next_due

    with session_scope(common.database(common.settings())) as session:
        found = schedules.named(session, name)
        due_at = found.next_due_at or next_due(found.cron, found.timezone, after=database_now(session))
        schedules.set_enabled(session, name, due_at)
    print(f"schedule {name} is due next {_local(due_at, found.timezone)}")


def disable(name: Name) -> None:
    """Fire a schedule no more until it is enabled; a job of it that goes on goes on."""
    from db.queries import schedules
    from db.session import session_scope
    from scheduler.cli import common

    with session_scope(common.database(common.settings())) as session:
        schedules.set_enabled(session, name, None)
    print(f"schedule {name} is disabled")


def run(name: Name) -> None:
    """Run a schedule now, enabled or not; its times stay as they are."""
    from db.clock import database_now
    from db.queries import schedules
    from db.session import session_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import listing as shown
    from scheduler.schedules import firing

    settings = common.settings()
    engine = common.database(settings)
    with session_scope(engine) as session:
        listing = schedules.fire_by_hand(session, name, now=database_now(session), lease_seconds=firing.LEASE_SECONDS)
    clock = firing.database_clock(engine)
    with firing.held(engine, listing, clock), shown(quiet=False) as progress:
        submitted = firing.list_and_submit(engine, listing, settings, now=clock, progress=progress)
    print(submitted.sentence())


def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest.")] = 30,
    json: Json = False,
) -> None:
    """Show what became of a schedule's firings: the job that each one made, or why it made none."""
    from rich.table import Table
    from rich.text import Text

    from db.queries import schedules
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import printable

    with read_scope(common.database(common.settings())) as session:
        found = schedules.named(session, name)
        firings = schedules.history(session, found.id, limit=limit)
    if json:
        common.print_json([{**_row(firing), "job_state": job and job.state} for firing, job in firings])
        return
    table = Table("due", "fired", "came to", "job", "which is")
    table.add_column("said", overflow="fold")
    for firing, job in firings:
        table.add_row(
            Text(_local(firing.due_at, found.timezone) if firing.due_at else "by hand"),
            Text(_local(firing.fired_at, found.timezone)),
            Text(_said(firing.state)),
            Text("" if job is None else str(job.id)),
            Text("" if job is None else job.state),
            Text(printable(firing.message or "")),
        )
    common.console().print(table)


def _row(of: Any) -> dict[str, Any]:
    return {column.key: getattr(of, column.key) for column in of.__table__.columns}


def _said(state: str) -> str:
    return state.replace("_", " ")


def _local(moment: Any, timezone: str) -> str:
    from datetime import UTC, tzinfo

    from scheduler.schedules.cron import zone
    from worker.errors import UsageError

    there: tzinfo
    try:
        there = zone(timezone)
    except UsageError:  # the firing's own message says so
        there = UTC
    return f"{moment.astimezone(there):%Y-%m-%d %H:%M %Z}"
