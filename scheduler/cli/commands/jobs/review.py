"""`photochrom review`: what a person should look at, and their verdicts."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Engine

from db.queries.chunks.checkpoints import serves
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.session import read_scope
from scheduler.access.actor import Actor, local_actor
from scheduler.actions import reviews as actions
from scheduler.actions.reviews import CHOICES
from scheduler.actions.selection import outputs_made_again, outputs_named, outputs_without_verdict
from scheduler.cli.common import open_database, print_json
from scheduler.cli.display.review_tables import queue_table, verdicts_table
from scheduler.cli.options import Embedding, Head, JobId, Json, Saturation
from scheduler.rows import verdict_row
from scheduler.submission.checkpoints import redo_options, running_checkpoints
from scheduler.text import counted
from worker.errors import UsageError
from worker.settings.settings import Settings, load_settings

VERDICTS = ("accept", "reject", "redo")
MOST_UNLIKE = 1_000  # outputs unlike their folder; the view folder_outliers has all

Action = Annotated[
    str | None,
    typer.Argument(
        metavar="[accept|reject|redo|keep|take]",
        help="Your verdict; after a redo, keep the earlier output or take the new one. Leave out to list what needs "
        "review.",
        autocompletion=lambda: [*VERDICTS, *CHOICES],
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY]...", help="Keys of scans or outputs, or patterns such as 'box 1/*'."),
]
AllOutputs = Annotated[
    bool,
    typer.Option(
        "--all", help="Every output of the job that has no verdict yet; with keep and take, every redone one."
    ),
]

app = typer.Typer()


@app.command()
def review(
    job: JobId,
    action: Action = None,
    keys: Keys = None,
    all_outputs: AllOutputs = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many to list.")] = 50,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="List the outputs that have a verdict.")] = False,
    checkpoint: Annotated[
        str | None, typer.Option(help="Redo with the checkpoint of this id; photochrom models lists ids.")
    ] = None,
    head: Head = None,
    embedding: Embedding = None,
    saturation: Saturation = None,
    note: Annotated[str | None, typer.Option(help="A note that is kept with the verdict.")] = None,
    by: Annotated[str | None, typer.Option(help="Your name; default: your user name on this machine.")] = None,
    json: Json = False,
) -> None:
    """List the outputs that need review; accept, reject or redo them."""
    changes = {"checkpoint": checkpoint, "head": head, "embedding": embedding, "saturation": saturation}
    chosen = {name: value for name, value in changes.items() if value is not None}
    verdict = Verdict(action, keys or [], all_outputs, chosen)
    verdict.check(job)
    settings = load_settings()
    engine = open_database(settings)
    if action is not None:
        print(_decide(engine, settings, job, verdict, local_actor(by), note))
    elif reviewed:
        _show_verdicts(engine, job, json=json)
    else:
        _show_queue(engine, job, limit, json=json)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's verdict, and the outputs that it is about. `changes`: the options that a redo changes."""

    action: str | None
    keys: list[str]
    all_outputs: bool
    changes: dict[str, Any]

    def check(self, job_id: int) -> None:
        """Raises UsageError for arguments that can't be used together."""
        if self.action is not None and self.action not in (*VERDICTS, *CHOICES):
            raise UsageError(f"{self.action!r} is not a verdict; expected accept, reject, redo, keep or take")
        if self.action is None and self.all_outputs:
            raise UsageError("--all needs a verdict: accept, reject, redo, keep or take")
        if self.action is not None and bool(self.keys) == self.all_outputs:
            keys = f"keys, as photochrom review {job_id} lists them"
            raise UsageError(f"photochrom review {job_id} {self.action}: expected either {keys}, or --all")
        if self.changes and self.action != "redo":
            raise UsageError(f"--{next(iter(self.changes))} is for redo alone")


def _decide(engine: Engine, settings: Settings, job_id: int, verdict: Verdict, actor: Actor, note: str | None) -> str:
    """Record the verdict. Returns a sentence that says what was recorded."""
    assert verdict.action is not None
    ids = _meant(engine, job_id, verdict)
    if verdict.action == "redo":
        return _redo(engine, settings, job_id, ids, verdict.changes, actor, note)
    if verdict.action in CHOICES:
        return _choose(engine, settings, job_id, ids, verdict.action, actor, note)
    count = actions.decide(engine, job_id, ids, verdict.action, actor, note=note)
    return f"{counted(count, 'output')} {actions.VERDICTS[verdict.action]} by {actor.name}"


def _meant(engine: Engine, job_id: int, verdict: Verdict) -> list[int]:
    with read_scope(engine) as session:
        if not verdict.all_outputs:
            return outputs_named(session, job_id, verdict.keys)
        if verdict.action in CHOICES:
            return outputs_made_again(session, job_id)
        return outputs_without_verdict(session, job_id)


def _choose(
    engine: Engine, settings: Settings, job_id: int, ids: list[int], action: str, actor: Actor, note: str | None
) -> str:
    job_ids = actions.choose(engine, job_id, ids, CHOICES[action], actor, chunk_scans=settings.chunk_scans, note=note)
    if action == "keep":
        return f"{counted(len(ids), 'earlier output')} kept by {actor.name}"
    jobs = ", ".join(str(number) for number in job_ids)
    return f"job {jobs} puts {counted(len(ids), 'new output')} into place; photochrom status {job_ids[0]}"


def _redo(
    engine: Engine,
    settings: Settings,
    job_id: int,
    ids: list[int],
    changes: dict[str, Any],
    actor: Actor,
    note: str | None,
) -> str:
    redo_id = actions.redo(engine, settings, job_id, ids, actor, changes=changes, note=note)
    waits = ""
    if changes.get("checkpoint") is not None:
        with read_scope(engine) as session:
            running, options = running_checkpoints(session, settings), redo_options(settings, changes)
        waits = "" if any(serves(id, options) for id in running) else _waits(running)
    choice = f"photochrom review {job_id} take or keep KEY chooses when it is done"
    return f"job {redo_id} makes {counted(len(ids), 'output')} again, beside the earlier{waits}; {choice}"


def _waits(checkpoints: list[str]) -> str:
    running = f"running workers have {', '.join(checkpoints)}" if checkpoints else "no worker is running"
    return f", as soon as a worker has that checkpoint ({running}; photochrom models says how to start one)"


def _show_queue(engine: Engine, job_id: int, limit: int, *, json: bool) -> None:
    with read_scope(engine) as session:
        lifecycle.get(session, job_id)
        rows, total = reviews.queue(session, job_id, limit=limit), reviews.queue_length(session, job_id)
        unlike = reviews.unlike_their_folder(session, job_id, limit=MOST_UNLIKE)
    rows, total = [*rows, *unlike][:limit], total + len(unlike)
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
        print_json([verdict_row(review, key) for review, key in verdicts])
    else:
        Console().print(verdicts_table(verdicts), soft_wrap=True)
