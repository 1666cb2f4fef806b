"""`photochrom review`: what a person should look at, and their verdicts."""

from getpass import getuser
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Engine

from db.clock import database_now
from db.models.reviews import Verdict
from db.queries.jobs import lifecycle
from db.queries.pool import workers
from db.queries.reports import reviews
from db.queries.reports.reviews import By
from db.session import read_scope, session_scope
from scheduler.cli.common import open_database, print_json
from scheduler.cli.display.review_tables import queue_table, verdict_rows, verdicts_table
from scheduler.cli.options import JobId, Json
from scheduler.text import counted
from worker.errors import UsageError
from worker.settings.settings import Settings, load_settings

VERDICTS = {"accept": Verdict.ACCEPTED, "reject": Verdict.REJECTED, "redo": Verdict.REDONE}

app = typer.Typer()


@app.command()
def review(
    job: JobId,
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[accept|reject|redo]",
            help="Your verdict. Leave out to list what needs review.",
            autocompletion=lambda: list(VERDICTS),
        ),
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys of scans or outputs, as the list shows them.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many to list.")] = 50,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="List the verdicts instead.")] = False,
    checkpoint: Annotated[
        str | None, typer.Option(help="Redo with the checkpoint of this id; photochrom models lists ids.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="A note that is kept with the verdict.")] = None,
    by: Annotated[str | None, typer.Option(help="Your name; default: your user name on this machine.")] = None,
    json: Json = False,
) -> None:
    """List the outputs that need review; accept, reject or redo them."""
    _check(job, action, keys or [], checkpoint)
    settings = load_settings()
    engine = open_database(settings)
    if action is not None:
        print(_decide(engine, settings, job, action, keys or [], checkpoint, (by or getuser(), note)))
    elif reviewed:
        _show_verdicts(engine, job, json=json)
    else:
        _show_queue(engine, job, limit, json=json)


def _check(job: int, action: str | None, keys: list[str], checkpoint: str | None) -> None:
    """Raises UsageError for arguments that do not go together."""
    if action is not None and action not in VERDICTS:
        raise UsageError(f"{action!r} is no verdict; expected accept, reject or redo")
    if action is not None and not keys:
        raise UsageError(f"photochrom review {job} {action} names no scan; give keys, as photochrom review {job} lists")
    if checkpoint is not None and action != "redo":
        raise UsageError("--checkpoint is for redo alone")


def _decide(
    engine: Engine,
    settings: Settings,
    job_id: int,
    action: str,
    keys: list[str],
    checkpoint: str | None,
    reviewer: tuple[str, str | None],
) -> str:
    """Record the verdict; what was recorded, in a sentence."""
    name, note = reviewer
    with session_scope(engine) as session:
        by = By(name, database_now(session), note)
        scans = reviews.outputs(session, job_id, keys)
        if action == "redo":
            return _redo(session, settings, job_id, scans, by, checkpoint)
        reviews.decide(session, scans, VERDICTS[action], by)
    return f"{counted(len(scans), 'output')} {VERDICTS[action]} by {name}"


def _redo(session: Any, settings: Settings, job_id: int, scans: list[Any], by: By, checkpoint: str | None) -> str:
    options = {"checkpoint": checkpoint} if checkpoint else {}
    job = lifecycle.get(session, job_id)
    redo_id = reviews.redo(session, job, scans, by, options=options, chunk_scans=settings.chunk_scans)
    waits = "" if checkpoint is None or workers.known(session, checkpoint) else _waits(workers.checkpoints(session))
    return f"job {redo_id} makes {counted(len(scans), 'output')} again{waits}; photochrom status {redo_id}"


def _waits(checkpoints: list[str]) -> str:
    running = f"running workers have {', '.join(checkpoints)}" if checkpoints else "no worker is running"
    return f", as soon as a worker has that checkpoint ({running}; photochrom models says how to start one)"


def _show_queue(engine: Engine, job_id: int, limit: int, *, json: bool) -> None:
    with read_scope(engine) as session:
        lifecycle.get(session, job_id)
        rows, total = reviews.queue(session, job_id, limit=limit), reviews.queue_length(session, job_id)
    if json:
        print_json(rows)
    elif rows:
        Console().print(queue_table(rows), soft_wrap=True)
        print(f"{len(rows):,} of {total:,}. Next: photochrom review {job_id} accept|reject|redo KEY...")
    else:
        print(f"Nothing of job {job_id} needs review.")


def _show_verdicts(engine: Engine, job_id: int, *, json: bool) -> None:
    with read_scope(engine) as session:
        lifecycle.get(session, job_id)
        verdicts = reviews.verdicts(session, job_id)
    if json:
        print_json(verdict_rows(verdicts))
    else:
        Console().print(verdicts_table(verdicts), soft_wrap=True)
