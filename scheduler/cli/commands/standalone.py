"""Commands for one machine: demo and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from scheduler.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from scheduler.standalone.demo import Result
    from worker.settings.settings import Settings

PANEL = "On this machine alone"


def add_to(app: typer.Typer) -> None:
    for command in (demo, run):
        app.command(rich_help_panel=PANEL)(command)


def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes; an earlier demo's is replaced.")] = Path(
        "photochrom-demo"
    ),
) -> None:
    """Run everything on this machine, on sample scans: Valkey, S3, SQL, a scheduler and a worker."""
    from rich.text import Text

    from scheduler.cli import common
    from scheduler.cli.display.live import follow
    from scheduler.report.store import write_report
    from scheduler.standalone.demo import (
        DESTINATION,
        SOURCE,
        demo_folder,
        gather,
        only_planted_failed,
        upload_samples,
        write_before_after,
    )
    from scheduler.standalone.system import System
    from scheduler.submission.checkpoints import own_checkpoint
    from scheduler.submission.submitter import Submission, Submitter

    console = common.console()
    check_checkpoint(common.settings())
    console.print(Text(f"Everything of this demo lies in {folder.resolve()}"))
    with demo_folder(folder), System(folder, with_s3=True) as system:
        system.adopt()
        settings = common.settings()
        s3 = settings.s3_options
        written = upload_samples(system, s3)
        submitter = Submitter(system.engine, s3=s3, chunk_scans=4, checkpoints=lambda: [own_checkpoint(settings)])
        submitted = submitter.submit(Submission(SOURCE, DESTINATION))
        console.print(f"{submitted.sentence()}: {SOURCE} to {DESTINATION} on {settings.s3_endpoint_url}")
        assert submitted.job_id is not None
        system.start_processes()
        console.print("A scheduler and a worker are starting; the worker loads the model first.")
        follow(system.engine, submitted.job_id, console, check=system.check, trouble=system.trouble)
        system.check()
        results = gather(system, submitted.job_id, written, s3)
        report, picture = folder / "report.html", folder / "before-after.jpg"
        write_report(system.engine, submitted.job_id, report, s3=s3, settings=settings)
        write_before_after(results, folder, picture)
    console.print(_table(results))
    _print_checkpoint(console, settings)
    console.print(Text(f"Outputs: {folder / 'outputs'}\nReport: {report}\nBefore and after: {picture}"))
    raise typer.Exit(0 if only_planted_failed(results) else 1)


def run(
    folder: Annotated[str, typer.Argument(help="A folder of scans; nothing in it is changed.")],
    output_folder: Annotated[str, typer.Argument(help="A folder apart; made if it is not there.")],
    format: options.Format = "source",
    quality: options.Quality = 95,
    compression: options.Compression = "deflate",
    pyramid: options.Pyramid = False,
    colour_scans: options.ColourScans = "skip",
    label: options.Label = None,
    bag: options.Bag = False,
    state_folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="For the job database and logs; by default .photochrom in the output folder."),
    ] = None,
) -> None:
    """Colourize a folder on this machine. Run it again to go on after a stop, or for what is new."""
    from rich.text import Text

    from scheduler.cli import common
    from scheduler.cli.display.job_tables import printable
    from scheduler.cli.display.live import follow
    from scheduler.integrity.bag import Sealer, seal_last
    from scheduler.report.store import store_report
    from scheduler.standalone.folder_run import LOCK, STATE_FOLDER, check_folders, failures, submit_missing
    from scheduler.standalone.system import System, only_one
    from scheduler.submission.submitter import Submission
    from scheduler.text import counted

    console, settings = common.console(), common.settings()
    s3 = settings.s3_options
    asked = Submission(
        folder,
        output_folder,
        format,
        quality,
        missing_only=True,
        compression=compression,
        pyramid=pyramid,
        colour_scans=colour_scans,
        label=label,
        bag=bag,
    )
    output = check_folders(asked, s3)
    check_checkpoint(settings)
    state = state_folder or output / STATE_FOLDER
    with only_one(state / LOCK), System(state, with_s3=False) as system:
        job_id = submit_missing(system.engine, asked, settings=settings)
        if job_id is None:
            console.print(Text(f"Nothing to do: {output_folder} has every scan of {folder} already."))
            if bag:
                console.print(Text(seal_last(system.engine, s3).sentence()))
            return
        system.start_processes()
        found = follow(system.engine, job_id, console, check=system.check, trouble=system.trouble)
        report = output / store_report(system.engine, job_id, settings)
        failed = failures(system.engine, job_id)
    if found.skipped:
        console.print(f"skipped: {counted(found.skipped, 'scan')}, in colour already")
    for scan in failed:
        console.print(Text(printable(f"failed: {scan.source_key}: {scan.error_message}")))
    console.print(
        Text(f"done: {counted(found.done, 'scan')}, in {output_folder}; {found.failed} failed; report: {report}")
    )
    if bag:
        console.print(Text(Sealer(system.engine, s3=s3).seal(job_id).sentence()))
    raise typer.Exit(1 if failed else 0)


def _table(results: Sequence[Result]) -> Table:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    from scheduler.cli.display.job_tables import printable, seconds_of, size_of

    # Eighty columns are enough for all but the keys, which are folded: cut short, one looks like the other.
    figures = (Column(name, no_wrap=True) for name in ("size", "seconds", "PSNR", "grey"))
    table = Table(
        Column("scan", overflow="fold"),
        "state",
        *figures,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption="PSNR: dB against the colour original; grey: that of the scan itself, the grey baseline",
    )
    for result in results:
        scan = result.scan
        state = Text(scan.state if scan.error_code is None else f"{scan.state}: {scan.error_code}")
        table.add_row(
            Text(printable(scan.source_key)),
            state,
            size_of(scan),
            seconds_of(scan),
            "" if result.psnr is None else f"{result.psnr:.2f}",
            "" if result.grey_psnr is None else f"{result.grey_psnr:.2f}",
        )
    return table


def check_checkpoint(settings: Settings) -> None:
    """Raises CheckpointError before anything is begun, not minutes later out of a worker's log."""
    from worker.model.checkpoint import bundled_checkpoint_path, check_embedding, head_of, verify

    if settings.stand_in_model_milliseconds is None:
        card = verify(settings.checkpoint or bundled_checkpoint_path())
        head_of(card, settings.head)
        check_embedding(card, settings.embedding)


def _print_checkpoint(console: Console, settings: Settings) -> None:
    """Say which weights coloured the scans, and what these are not."""

    from worker.model.checkpoint import bundled_checkpoint_path, read_card

    card = read_card(settings.checkpoint or bundled_checkpoint_path())
    console.print(f"Checkpoint {card.id} ({card.name}): {' '.join(card.limits)}", highlight=False)
