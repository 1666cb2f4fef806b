"""Commands about jobs: submit, status, scans, pause, resume, cancel, retry, priority, report, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from scheduler.cli import options
from scheduler.cli.options import JobId, Json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from worker.settings.settings import Settings

PANEL = "Jobs"


def add_to(app: typer.Typer) -> None:
    for command in (submit, status, scans, pause, resume, cancel, retry, priority, report, verify, bag):
        app.command(rich_help_panel=PANEL)(command)


@options.of_a_submission
def submit(
    source: options.Source,
    destination: options.Destination,
    chosen: dict[str, Any],
    name: Annotated[Optional[str], typer.Option(help="A name for people.")] = None,  # noqa: UP045
    missing_only: Annotated[bool, typer.Option(help="Leave out what is there and unchanged.")] = False,
    overwrite: Annotated[str, typer.Option(help="Outputs that are there: never, new, changed or always.")] = "always",
    dry_run: Annotated[bool, typer.Option(help="Only list and count, and say how long it would take.")] = False,
    json: Json = False,
) -> None:
    """Enqueue a collection: every scan under SOURCE, to be colourized into DESTINATION."""
    from scheduler.actions.actor import local_actor
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import listing
    from scheduler.submission.checkpoints import checkpoints_in_use
    from scheduler.submission.submitter import Submission, Submitter

    settings = common.settings()
    asked = Submission(source, destination, name=name, missing_only=missing_only, overwrite=overwrite, **chosen)
    with listing(quiet=json) as progress:
        engine = common.database(settings)
        submitter = Submitter(
            engine,
            s3=settings.s3_options,
            chunk_scans=settings.chunk_scans,
            checkpoints=lambda: checkpoints_in_use(engine, settings),
            progress=progress,
            actor=local_actor(),
        )
        submitted = submitter.dry_run(asked) if dry_run else submitter.submit(asked)
    if json:
        common.print_json(submitted.as_dict())
    else:
        print(submitted.sentence())


def status(
    job: Annotated[Optional[int], typer.Argument(metavar="[JOB]", help="One job; without it, the latest.")] = None,  # noqa: UP045
    watch: Annotated[bool, typer.Option(help="Go on until the job, or every job, has ended.")] = False,
    workers: Annotated[bool, typer.Option("--workers", help="The workers instead, and what each did of late.")] = False,
    json: Json = False,
) -> None:
    """Show how far a job is, or the latest jobs, or the workers."""
    from db.queries.jobs import lifecycle
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import jobs_table, printable
    from scheduler.cli.display.live import watch_jobs
    from scheduler.doctor.stalled_jobs import unserved
    from scheduler.rows import job_row, report_of
    from worker.errors import UsageError

    settings = common.settings()
    engine = common.database(settings)
    if workers:
        _status_of_workers(engine, settings, json=json)
        return
    if watch and json:
        raise UsageError("--watch and --json: expected one of the two; watching prints lines where it is piped")
    if watch:
        failed = sum(each.failed for each in watch_jobs(engine, job, silent_seconds=settings.silent_seconds))
        raise typer.Exit(1 if failed and job is not None else 0)
    with read_scope(engine) as session:
        ids = [job] if job is not None else lifecycle.recent_ids(session, limit=20)
        found = [lifecycle.progress(session, each) for each in ids]
        hints = unserved(session, found, silent_seconds=settings.silent_seconds)
    if json:
        common.print_json([job_row(progress, hints) for progress in found])
    else:
        common.console().print(jobs_table(found, hints))
        if job is not None and (report := report_of(found[0])):
            print(printable(f"report: {report}"))


def _status_of_workers(engine: Engine, settings: Settings, *, json: bool) -> None:
    from datetime import timedelta

    from db.clock import database_now
    from db.queries.pool import workers
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.diagnostic_tables import print_workers
    from scheduler.rows import worker_row

    with read_scope(engine) as session:
        now = database_now(session)
        found = workers.recent(session, heard_after=now - timedelta(hours=1))
    if json:
        common.print_json([worker_row(worker, now=now, silent_seconds=settings.silent_seconds) for worker in found])
    elif found:
        print_workers(common.console(), found, now=now, silent_seconds=settings.silent_seconds)
    else:
        print("no worker has been heard of for an hour; start one: photochrom worker")


def scans(
    job: JobId,
    state: Annotated[Optional[str], typer.Option(help="pending, done, failed or skipped.")] = None,  # noqa: UP045
    csv: options.Csv = None,
    json: Json = False,
) -> None:
    """List a job's scans and what became of each."""
    from db.models.jobs import ScanState
    from db.queries.jobs import lifecycle as job_queries
    from db.queries.scans import records as scan_queries
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import scans_table
    from scheduler.rows import scan_row
    from scheduler.text import counted
    from worker.errors import UsageError

    if state is not None and state not in ScanState.ALL:
        raise UsageError(f"--state {state} is not known; expected one of {', '.join(ScanState.ALL)}")
    with read_scope(common.database(common.settings())) as session:
        job_queries.get(session, job)
        found = scan_queries.stream(session, job, state=state)
        if csv is not None:
            from scheduler.report import write_csv

            with csv.open("w", encoding="utf-8", newline="") as file:
                count = write_csv((scan_row(scan) for scan in found), file)
            print(f"wrote {counted(count, 'scan')} to {csv}")
        elif json:
            common.print_json_rows(scan_row(scan) for scan in found)
        else:
            common.console().print(scans_table(found, job))


def pause(job: JobId) -> None:
    """Dispatch nothing more of a job; scans in hand are finished."""
    _change(job, "pause")


def resume(job: JobId) -> None:
    """Go on with a paused job."""
    _change(job, "resume")


def cancel(job: JobId) -> None:
    """End a job for good; what was done stays done."""
    _change(job, "cancel")


def _change(job: int, action: str) -> None:
    from scheduler.actions import jobs
    from scheduler.actions.actor import local_actor
    from scheduler.cli import common

    state = jobs.change_state(common.database(common.settings()), job, action, local_actor())
    print(f"job {job} is {state}")


def retry(
    job: JobId,
    code: Annotated[Optional[str], typer.Option(help="Only scans that failed with this code.")] = None,  # noqa: UP045
) -> None:
    """Try a job's failed scans again."""
    from scheduler.actions import jobs
    from scheduler.actions.actor import local_actor
    from scheduler.cli import common
    from scheduler.text import counted

    count = jobs.retry(common.database(common.settings()), job, local_actor(), code=code)
    print(f"{counted(count, 'scan')} of job {job} will be tried again")


def priority(job: JobId, number: Annotated[int, typer.Argument(help="Higher goes first.")]) -> None:
    """Change a job's priority; it counts from the next round of the scheduler on."""
    from scheduler.actions import jobs
    from scheduler.actions.actor import local_actor
    from scheduler.cli import common

    jobs.set_priority(common.database(common.settings()), job, number, local_actor())
    print(f"job {job} has priority {number}")


def report(
    job: JobId,
    output: Annotated[Optional[Path], typer.Option(help="The HTML file to write.")] = None,  # noqa: UP045
) -> None:
    """Write a job's report: one HTML file with figures, failures, and before/after pairs."""
    from scheduler.cli import common
    from scheduler.report.store import write_report

    settings = common.settings()
    path = output or Path(f"photochrom-job-{job}.html")
    write_report(common.database(settings), job, path, s3=settings.s3_options, settings=settings)
    print(f"wrote {path}")


def bag(job: JobId) -> None:
    """Seal the destination of a completed job as a BagIt bag; a scheduler does it by itself for jobs with --bag."""
    from scheduler.cli import common
    from scheduler.integrity.bag import Sealer

    settings = common.settings()
    print(Sealer(common.database(settings), s3=settings.s3_options).seal(job).sentence())


def verify(job: JobId, json: Json = False) -> None:
    """Read a job's sources and outputs again: report what is changed, missing or extra, and what to do."""
    from db.queries.jobs import lifecycle
    from db.session import read_scope
    from scheduler.cli import common
    from scheduler.cli.display.job_tables import printable
    from scheduler.cli.display.remedies import remedies
    from scheduler.integrity.verify import Verifier
    from scheduler.standalone.folder_run import state_folder_of

    settings = common.settings()
    engine = common.database(settings)
    verified = Verifier(engine, s3=settings.s3_options).verify(job)
    if json:
        common.print_json(verified.as_dict())
    else:
        for each in verified.differences:
            print(printable(f"{each.what} {each.side}: {each.key} {each.detail}".rstrip()))
        print(verified.sentence())
        with read_scope(engine) as session:
            sentences = remedies(lifecycle.get(session, job), verified, state_folder=state_folder_of(engine))
        for sentence in sentences:
            print(printable(sentence))
    raise typer.Exit(1 if verified.differences else 0)
