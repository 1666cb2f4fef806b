"""`photochrom report`."""

from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.common import open_database
from scheduler.cli.options import JobId
from scheduler.report.store import write_report
from worker.settings.settings import load_settings

app = typer.Typer()


@app.command()
def report(
    job: JobId,
    output: Annotated[Path | None, typer.Option(help="The file to write; default: photochrom-job-JOB.html.")] = None,
) -> None:
    """Write a job's report: figures, failures and before/after pictures.

    The report is one HTML file. It needs no network.
    """
    settings = load_settings()
    path = output or Path(f"photochrom-job-{job}.html")
    write_report(open_database(settings), job, path, s3=settings.s3_options, settings=settings)
    print(f"wrote {path}")
