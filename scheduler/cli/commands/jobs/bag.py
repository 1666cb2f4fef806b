"""`photochrom bag`."""

import typer

from scheduler.cli.common import open_database
from scheduler.cli.options import JobId
from scheduler.integrity.bag import Sealer
from worker.settings.settings import load_settings

app = typer.Typer()


@app.command()
def bag(job: JobId) -> None:
    """Complete a job's destination as a BagIt bag.

    It writes the manifests of a finished job that was submitted with --bag. The scheduler also does this when the job
    ends; this command writes them again, for example after you have put files back.
    """
    settings = load_settings()
    print(Sealer(open_database(settings), s3=settings.s3_options).seal(job).sentence())
