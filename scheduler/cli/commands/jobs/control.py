"""`photochrom pause`, `resume`, `cancel` and `priority`."""

from typing import Annotated

import typer

from scheduler.access.actor import local_actor
from scheduler.actions import jobs
from scheduler.cli.common import configured_database
from scheduler.cli.options import PRIORITY_RANGE, JobId

app = typer.Typer()


@app.command()
def pause(job: JobId) -> None:
    """Pause a job: scans in progress are finished, no others are started."""
    _change(job, "pause")


@app.command()
def resume(job: JobId) -> None:
    """Continue a paused job."""
    _change(job, "resume")


@app.command()
def cancel(job: JobId) -> None:
    """Cancel a job for good: finished outputs stay, no others are made."""
    _change(job, "cancel")


def _change(job: int, action: str) -> None:
    state = jobs.change_state(configured_database(), job, action, local_actor())
    print(f"job {job} is {state}")


@app.command()
def priority(
    job: JobId,
    number: Annotated[int, typer.Argument(metavar="NUMBER", **PRIORITY_RANGE)],
) -> None:
    """Change the priority of a job.

    The scheduler uses it the next time that it hands out work. Chunks that workers already have are finished first.
    """
    jobs.set_priority(configured_database(), job, number, local_actor())
    print(f"job {job} has priority {number}")
