"""`photochrom approve` and `reject`, for jobs that began with a sample."""

import typer

from scheduler.access.actor import local_actor
from scheduler.actions import samples
from scheduler.cli import options as shared
from scheduler.cli.common import configured_database

app = typer.Typer()


@app.command()
def approve(job: shared.JobId, head: shared.Head = None, saturation: shared.Saturation = None) -> None:
    """Colour the other scans of a sampled job, in the way that you choose."""
    samples.approve(configured_database(), job, local_actor(), head=head, saturation=saturation)
    print(f"job {job} is running")


@app.command()
def reject(job: shared.JobId) -> None:
    """End a sampled job: its other scans are not coloured."""
    samples.reject(configured_database(), job, local_actor())
    print(f"job {job} is cancelled")
