"""`photochrom retry`."""

from typing import Annotated

import typer

from scheduler.access.actor import local_actor
from scheduler.actions import jobs
from scheduler.cli.common import configured_database
from scheduler.cli.options import JobId
from scheduler.text import counted

app = typer.Typer()


@app.command()
def retry(
    job: JobId,
    code: Annotated[
        str | None, typer.Option(help="Only scans that failed with this error code; docs/error-codes.md lists them.")
    ] = None,
) -> None:
    """Try the failed scans of a job again."""
    count = jobs.retry(configured_database(), job, local_actor(), code=code)
    print(f"{counted(count, 'scan')} of job {job} will be tried again")
