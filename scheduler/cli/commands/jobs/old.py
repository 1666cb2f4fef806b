"""`photochrom jobs`: old jobs, archived or deleted."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer
from sqlalchemy import Engine

from db.clock import database_now
from db.queries.archives import progress
from db.queries.jobs import lifecycle
from db.session import read_scope
from scheduler.access.actor import local_actor
from scheduler.archive.deletion import Pace, delete_job
from scheduler.cli.common import open_database
from scheduler.cli.display.job_tables import counting
from scheduler.cli.options import job_number
from scheduler.text import counted
from worker.errors import UsageError
from worker.settings.settings import Settings, load_settings

_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}
_LONGEST_DAYS = 365_000

app = typer.Typer(no_args_is_help=True)

Numbers = Annotated[list[int] | None, typer.Argument(metavar="[JOB]...", parser=job_number, help="The jobs' numbers.")]
OlderThan = Annotated[
    str | None,
    typer.Option(
        metavar="AGE", help="All jobs that ended longer ago than this: 90d, 12w, 18m (months of 30 days) or 1y."
    ),
]
Rest = Annotated[
    float,
    typer.Option(min=0, max=1000, help="Length of the pause after each step, as a multiple of the step's time."),
]


@app.callback()
def jobs() -> None:
    """Archive or delete old jobs, so that the job database stays small."""


@app.command()
def archive(job: Numbers = None, older_than: OlderThan = None, rest: Rest = 2.0) -> None:
    """Write a job's scans to Parquet files beside its report, and delete them from the database.

    The job, its counts and the result of each scan stay in the database. If an earlier call was stopped, this one
    continues it.
    """
    settings = load_settings()
    engine = open_database(settings)
    chosen = _chosen(engine, job, older_than, with_archived=False)
    _do_all(chosen, lambda number: _archive(engine, settings, number, Pace(rest=rest)), by_age=older_than is not None)


def _do_all(numbers: list[int], do: Callable[[int], str], *, by_age: bool) -> None:
    """Archive or delete each job. by_age: if one is refused, the others are still done, and the exit status is 1."""
    refused = 0
    for number in numbers:
        try:
            print(do(number))
        except UsageError as error:
            if not by_age:
                raise
            print(error)
            refused += 1
    if refused:
        raise typer.Exit(1)


def _archive(engine: Engine, settings: Settings, number: int, pace: Pace) -> str:
    from scheduler.archive.archiver import Archiver  # pyarrow comes with an extra

    with counting(f"job {number}") as show:
        archiver = Archiver(engine, s3=settings.s3_options, actor=local_actor(), pace=pace, show=show)
        archived = archiver.archive(number)
    per_scan = archived.bytes / max(archived.scans, 1)
    return (
        f"job {number}: {counted(archived.scans, 'scan')} in {archived.location}, {archived.bytes:,} bytes "
        f"({per_scan:.0f} a scan), and {archived.sources_bytes:,} bytes of sources' hashes beside it"
    )


@app.command()
def delete(
    job: Numbers = None,
    older_than: OlderThan = None,
    forget_accepted: Annotated[
        bool, typer.Option("--forget-accepted", help="Also delete jobs with outputs that people have accepted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking for confirmation.")] = False,
    rest: Rest = 2.0,
) -> None:
    """Delete a job and the rows of its scans from the database. Outputs, reports and archives stay."""
    engine = open_database(load_settings())
    chosen = _chosen(engine, job, older_than, with_archived=True)
    if chosen and not yes:
        typer.confirm(
            f"Delete {counted(len(chosen), 'job')} ({_named(chosen)})? Nobody can bring this back.", abort=True
        )

    def delete_one(number: int) -> str:
        with counting(f"job {number}") as show:
            scans = delete_job(
                engine,
                number,
                local_actor(),
                Pace(rest=rest),
                forget_accepted=forget_accepted,
                show=lambda scans: show("deleted", scans),
            )
        return f"job {number} is deleted, with {counted(scans, 'scan')}"

    _do_all(chosen, delete_one, by_age=older_than is not None)


def _named(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")


def _chosen(engine: Engine, numbers: list[int] | None, older_than: str | None, *, with_archived: bool) -> list[int]:
    if bool(numbers) == (older_than is not None):
        raise UsageError("expected either the numbers of jobs, or --older-than such as 1y")
    with read_scope(engine) as session:
        if older_than is not None:
            before = database_now(session) - age(older_than)
            return progress.old_jobs(session, ended_before=before, with_archived=with_archived)
        for number in numbers or ():
            lifecycle.get(session, number)
    return list(dict.fromkeys(numbers or ()))


def age(text: str) -> timedelta:
    """The time in a text such as 90d, 12w, 18m or 1y. Raises UsageError."""
    matched = re.fullmatch(r"([0-9]{1,6})([dwmy])", text.strip())
    days = int(matched[1]) * _DAYS[matched[2]] if matched else 0
    if not 0 < days <= _LONGEST_DAYS:
        raise UsageError(
            f"--older-than {text[:40]} is not an age; expected a number and d, w, m or y, such as 90d or 1y"
        )
    return timedelta(days=days)
