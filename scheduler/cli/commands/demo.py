"""`photochrom demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from scheduler.cli import options as shared
from scheduler.cli.display.live import follow
from scheduler.cli.display.sample_table import CAPTION, sample_table
from scheduler.report.store import write_report
from scheduler.standalone.demo import (
    DESTINATION,
    SOURCE,
    Result,
    demo_folder,
    gather,
    only_planted_failed,
    upload_samples,
    write_before_after,
)
from scheduler.standalone.folder_run import check_checkpoint
from scheduler.standalone.pages import start_pages, stay_open
from scheduler.standalone.system import System
from scheduler.submission.checkpoints import own_checkpoint
from scheduler.submission.submitter import Submission, Submitter
from worker.model.checkpoint import read_card
from worker.settings.settings import Settings, load_settings

app = typer.Typer()


@app.command()
def demo(
    folder: Annotated[
        Path,
        typer.Option(help="Folder for everything that the demo writes; the files of an earlier demo are replaced."),
    ] = Path("photochrom-demo"),
    web: shared.Web = False,
) -> None:
    """Colourize sample scans, to see how everything works together.

    It starts a broker (Valkey), an S3 server, a job database, a scheduler and a worker on this machine, and stops them
    afterwards.
    """
    console = Console()
    settings = load_settings()
    check_checkpoint(settings)
    console.print(Text(f"Everything of this demo is in {folder.resolve()}"))
    report, picture = folder / "report.html", folder / "before-after.jpg"
    # Converting the network to 8 bits takes longer than the demo's few scans.
    precision = {"PHOTOCHROM_PRECISION": settings.precision or "float32"}
    with demo_folder(folder), System(folder, with_s3=True, settings=precision) as system:
        system.adopt()
        settings = load_settings()
        if web:
            console.print(f"Pages: {start_pages(system)}")
        results = _colourize_samples(system, settings, console)
        write_report(system.engine, 1, report, s3=settings.s3_options, settings=settings)
        write_before_after(results, folder, picture)
        if web:
            console.print("The pages stay open until Ctrl-C.")
            stay_open(system)
    console.print(sample_table(results), soft_wrap=True)
    console.print(CAPTION)
    _print_checkpoint(console, settings)
    console.print(Text(f"Outputs: {folder / 'outputs'}\nReport: {report}\nBefore and after: {picture}"))
    raise typer.Exit(0 if only_planted_failed(results) else 1)


def _colourize_samples(system: System, settings: Settings, console: Console) -> list[Result]:
    s3 = settings.s3_options
    samples = upload_samples(system, s3)
    submitter = Submitter(system.engine, s3=s3, chunk_scans=4, checkpoints=lambda: [own_checkpoint(settings)])
    submitted = submitter.submit(Submission(SOURCE, DESTINATION))
    console.print(f"{submitted.sentence()}: {SOURCE} to {DESTINATION} on {settings.s3_endpoint_url}")
    assert submitted.job_id is not None
    system.start_processes()
    console.print("A scheduler and a worker are starting; the worker loads the model first.")
    follow(system.engine, submitted.job_id, console, check=system.check, trouble=system.trouble)
    system.check()
    return gather(system, submitted.job_id, samples, s3)


def _print_checkpoint(console: Console, settings: Settings) -> None:
    """Which checkpoint coloured the scans, and its limits."""
    card = read_card(settings.checkpoint_folder)
    console.print(f"Checkpoint {card.id} ({card.name}): {' '.join(card.limits)}", highlight=False)
