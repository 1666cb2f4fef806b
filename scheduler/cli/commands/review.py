"""The command review: what to look at first, and what a person says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from scheduler.cli.options import JobId, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from db.queries.reports.reviews import By
    from worker.settings.settings import Settings

ACTIONS = ("accept", "reject", "redo")


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Jobs")(review)


def review(
    job: JobId,
    action: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[accept|reject|redo]", help="What you say of KEYs; without it, what to look at."),
    ] = None,
    keys: Annotated[Optional[list[str]], typer.Argument(metavar="[KEY]...", help="Of scans or outputs.")] = None,  # noqa: UP045
    limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 50,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="List the verdicts instead.")] = False,
    checkpoint: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Redo with this one, by its id: photochrom models lists them."),
    ] = None,
    note: Annotated[Optional[str], typer.Option(help="Why; kept with the verdict.")] = None,  # noqa: UP045
    by: Annotated[Optional[str], typer.Option(help="Who says so; by default you.")] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """List what a person should look at first; accept, reject or redo outputs."""
    from scheduler.cli import common
    from worker.errors import UsageError

    if action is not None and action not in ACTIONS:
        raise UsageError(f"{action!r} is nothing to do with a review; expected one of {', '.join(ACTIONS)}")
    if action is not None and not keys:
        raise UsageError(f"photochrom review {job} {action} names no scan; give keys, as photochrom review {job} lists")
    if checkpoint is not None and action != "redo":
        raise UsageError("--checkpoint is for redo alone")
    settings = common.settings()
    engine = common.database(settings)
    if action is not None:
        print(_decide(engine, settings, job, action, keys or [], checkpoint, note, by))
    elif reviewed:
        _list_verdicts(engine, job, json=json)
    else:
        _list_queue(engine, job, limit, json=json)


def _decide(
    engine: Engine,
    settings: Settings,
    job_id: int,
    action: str,
    keys: Sequence[str],
    checkpoint: str | None,
    note: str | None,
    name: str | None,
) -> str:
    from getpass import getuser

    from db.clock import database_now
    from db.models.reviews import Verdict
    from db.queries.reports import reviews
    from db.queries.reports.reviews import By
    from db.session import session_scope
    from scheduler.text import counted

    with session_scope(engine) as session:
        who = By(name or getuser(), database_now(session), note)
        found = reviews.outputs(session, job_id, keys)
        if action == "redo":
            return _redo(session, settings, job_id, found, who, checkpoint)
        verdict = Verdict.ACCEPTED if action == "accept" else Verdict.REJECTED
        reviews.decide(session, found, verdict, who)
    return f"{counted(len(found), 'output')} {verdict} by {who.name}"


def _redo(session: Any, settings: Settings, job_id: int, found: Sequence[Any], who: By, checkpoint: str | None) -> str:
    from db.queries.jobs import lifecycle
    from db.queries.pool import workers
    from db.queries.reports import reviews
    from scheduler.text import counted

    options = {"checkpoint": checkpoint} if checkpoint else {}
    job = lifecycle.get(session, job_id)
    made = reviews.redo(session, job, found, who, options=options, chunk_scans=settings.chunk_scans)
    waits = "" if checkpoint is None or workers.known(session, checkpoint) else _waits(workers.checkpoints(session))
    return f"job {made} makes {counted(len(found), 'output')} anew{waits}; photochrom status {made}"


def _waits(had: Sequence[str]) -> str:
    present = f"now {'they have' if len(had) > 1 else 'it is'} {', '.join(had)}" if had else "now there is no worker"
    return f", once a worker has that checkpoint ({present}; photochrom models says how to start one)"


def _list_queue(engine: Engine, job_id: int, limit: int, *, json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from db.queries.jobs import lifecycle
    from db.queries.reports import reviews
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import printable

    with read_scope(engine) as session:
        lifecycle.get(session, job_id)
        found, total = reviews.queue(session, job_id, limit=limit), reviews.queue_length(session, job_id)
    if json:
        common.print_json(found)
        return
    if not found:
        print(f"nothing of job {job_id} needs a look")
        return
    columns = {
        "reasons": [row["reasons"] for row in found],
        "certainty": ["" if row["certainty"] is None else f"{row['certainty']:.0%}" for row in found],
        "colourfulness": ["" if row["colourfulness"] is None else f"{row['colourfulness']:.1f}" for row in found],
        "size": [f"{row['width']} x {row['height']}" for row in found],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}  # the paper head gives no certainty
    table = Table()
    table.add_column("output", overflow="fold")
    for name in shown:
        table.add_column(name)
    for number, row in enumerate(found):
        table.add_row(Text(printable(row["output_key"])), *(cells[number] for cells in shown.values()))
    common.console().print(table)
    print(f"{len(found):,} of {total:,}; then: photochrom review {job_id} accept|reject|redo KEY...")


def _list_verdicts(engine: Engine, job_id: int, *, json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from db.queries.jobs import lifecycle
    from db.queries.reports import reviews
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import printable

    with read_scope(engine) as session:
        lifecycle.get(session, job_id)
        found = reviews.verdicts(session, job_id)
    if json:
        fields = ("verdict", "reviewed_by", "reviewed_at", "note", "redo_job_id")
        common.print_json([{"source_key": key, **{name: getattr(of, name) for name in fields}} for of, key in found])
        return
    table = Table()
    table.add_column("scan", overflow="fold")
    for name in ("verdict", "by", "at", "note"):
        table.add_column(name)
    for of, key in found:
        verdict = of.verdict if of.redo_job_id is None else f"{of.verdict} by job {of.redo_job_id}"
        at = f"{of.reviewed_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(
            Text(printable(key)), verdict, Text(printable(of.reviewed_by)), at, Text(printable(of.note or ""))
        )
    common.console().print(table)
