"""`photochrom run`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from db.queries.jobs import samples
from db.queries.jobs.lifecycle import Progress
from db.session import read_scope
from scheduler.cli import options as shared
from scheduler.cli.display.columns import printable
from scheduler.cli.display.live import follow
from scheduler.integrity.bag import Sealer, seal_last
from scheduler.report.store import store_report, write_report
from scheduler.standalone.folder_run import (
    LOCK,
    STATE_FOLDER,
    check_checkpoint,
    check_folders,
    failures,
    submit_missing,
)
from scheduler.standalone.system import System, only_one
from scheduler.submission.checkpoints import check_colours
from scheduler.submission.sampling import parse_sample
from scheduler.submission.submitter import Submission
from scheduler.text import counted
from worker.settings.settings import Settings, load_settings

app = typer.Typer()


@app.command()
@shared.with_output_options
def run(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of scans; nothing in it is changed.")],
    output_folder: Annotated[
        str, typer.Argument(metavar="OUTPUT_FOLDER", help="A folder outside it; it is made if it does not exist.")
    ],
    state_folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the job database and the logs; default: .photochrom in the output folder."),
    ] = None,
    sample: shared.Sample = None,
    heads: shared.Heads = None,
    saturations: shared.Saturations = None,
    *,
    options: dict[str, Any],
) -> None:
    """Colourize a folder of scans into another folder, on this machine alone.

    Run it again to continue after a stop, or for new scans: it does only what is missing. With --sample it colours a
    few scans in each way and stops; then run it again with the --head and --saturation that you have chosen.
    """
    settings = load_settings()
    tried = parse_sample(sample, heads, saturations)
    submission = Submission(folder, output_folder, missing_only=True, sample=tried, **options)
    output = check_folders(submission, settings.s3_options)
    check_checkpoint(settings)
    check_colours(settings, head=submission.head, embedding=submission.embedding)
    state = state_folder or output / STATE_FOLDER
    with only_one(state / LOCK), System(state, with_s3=False) as system:
        status = _colourize(system, submission, settings, output)
    raise typer.Exit(status)


def _colourize(system: System, submission: Submission, settings: Settings, output: Path) -> int:
    """The command's exit status: 1 where scans failed."""
    console = Console()
    job_id = submit_missing(system.engine, submission, settings=settings)
    if job_id is None:
        console.print(Text(f"Nothing to do: {submission.destination} has every scan of {submission.source} already."))
        if submission.bag:
            console.print(Text(seal_last(system.engine, settings.s3_options).sentence()))
        return 0
    system.start_processes()
    if submission.sample:
        return _follow_sample(system, job_id, settings, output, console)
    progress = follow(system.engine, job_id, console, check=system.check, trouble=system.trouble)
    report = output / store_report(system.engine, job_id, settings)
    _print_result(system, job_id, progress, report, submission, console)
    if submission.bag:
        console.print(Text(Sealer(system.engine, s3=settings.s3_options).seal(job_id).sentence()))
    return 1 if progress.failed else 0


def _follow_sample(system: System, job_id: int, settings: Settings, output: Path, console: Console) -> int:
    """Until every choice is coloured; 1 where scans of the sample failed."""
    with read_scope(system.engine) as session:
        tried = [progress.job.id for progress in samples.of_job(session, job_id)]
    failed = 0
    for sample_id in tried:
        progress = follow(system.engine, sample_id, console, check=system.check, trouble=system.trouble)
        failed += progress.failed
    report = output / f"photochrom-sample-{job_id}.html"
    write_report(system.engine, job_id, report, s3=settings.s3_options, settings=settings)
    console.print(Text(f"sample: {report}; then run the same again with the --head and --saturation of your choice"))
    return 1 if failed else 0


def _print_result(
    system: System, job_id: int, progress: Progress, report: Path, submission: Submission, console: Console
) -> None:
    if progress.skipped:
        console.print(f"skipped: {counted(progress.skipped, 'scan')}, in colour already")
    for scan in failures(system.engine, job_id):
        console.print(Text(printable(f"failed: {scan.source_key}: {scan.error_message}")))
    sentence = f"done: {counted(progress.done, 'scan')}, in {submission.destination}; {progress.failed} failed"
    console.print(Text(f"{sentence}; report: {report}"))
