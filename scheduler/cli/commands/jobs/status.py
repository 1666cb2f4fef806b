"""`photochrom status`: jobs, or workers."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import Engine

from db.clock import database_now
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import Progress
from db.queries.pool import workers as worker_queries
from db.session import read_scope
from scheduler.cli.common import open_database, print_json
from scheduler.cli.display.diagnostic_tables import print_workers
from scheduler.cli.display.job_tables import job_details, jobs_table
from scheduler.cli.display.live import watch_jobs
from scheduler.cli.options import Json, job_number
from scheduler.doctor.stalled_jobs import undelivered, why_stalled
from scheduler.rows import job_row, worker_row
from scheduler.submission.submitter import Interrupted
from worker.errors import UsageError
from worker.settings.settings import Settings, load_settings

LATEST_JOBS = 20

app = typer.Typer()


@app.command()
def status(
    job: Annotated[
        int | None,
        typer.Argument(metavar="[JOB]", parser=job_number, help="The job's number. Leave out to see the latest jobs."),
    ] = None,
    watch: Annotated[bool, typer.Option(help="Update until the job, or every job, is finished.")] = False,
    workers: Annotated[bool, typer.Option("--workers", help="Show the workers and their recent work instead.")] = False,
    json: Json = False,
) -> None:
    """Show the progress of jobs, or what each worker is doing."""
    settings = load_settings()
    if watch and json:
        raise UsageError("--watch and --json do not go together; watching prints plain lines where output is piped")
    engine = open_database(settings)
    if workers:
        _show_workers(engine, settings, json=json)
    elif watch:
        _watch(engine, settings, job)
    else:
        _show_jobs(engine, settings, job, json=json)


def _watch(engine: Engine, settings: Settings, job: int | None) -> None:
    try:
        failed = sum(progress.failed for progress in watch_jobs(engine, job, silent_seconds=settings.silent_seconds))
    except KeyboardInterrupt:
        raise Interrupted("stopped watching; jobs continue without it") from None
    raise typer.Exit(1 if failed and job is not None else 0)


def _show_jobs(engine: Engine, settings: Settings, job: int | None, *, json: bool) -> None:
    jobs, hints, notice_hints = read_jobs(engine, job, silent_seconds=settings.silent_seconds)
    if json:
        print_json([job_row(progress, hints) for progress in jobs])
        return
    Console().print(jobs_table(jobs, [*hints, *notice_hints]))
    if job is not None:
        print(*job_details(jobs[0]), sep="\n")


def read_jobs(engine: Engine, job: int | None, *, silent_seconds: float) -> tuple[list[Progress], list[str], list[str]]:
    """What the command shows of one job, or of the latest: progress, why jobs do not continue, undelivered notices."""
    with read_scope(engine) as session:
        ids = [job] if job is not None else lifecycle.recent_ids(session, limit=LATEST_JOBS)
        jobs = [lifecycle.progress(session, job_id) for job_id in ids]
        return jobs, why_stalled(session, jobs, silent_seconds=silent_seconds), undelivered(session)


def _show_workers(engine: Engine, settings: Settings, *, json: bool) -> None:
    with read_scope(engine) as session:
        now = database_now(session)
        workers = worker_queries.recent(session, heard_after=now - timedelta(hours=1))
    if json:
        print_json([worker_row(worker, now=now, silent_seconds=settings.silent_seconds) for worker in workers])
    elif workers:
        print_workers(Console(), workers, now=now, silent_seconds=settings.silent_seconds)
    else:
        print("No worker has connected in the last hour. Start one: photochrom worker")
