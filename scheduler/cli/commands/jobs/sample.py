"""`photochrom approve` and `reject`, for jobs that began with a sample."""

import typer

from scheduler.access.actor import local_actor
from scheduler.actions import samples
from scheduler.cli import options as shared
from scheduler.cli.common import configured_database, open_database
from worker.settings.settings import load_settings

app = typer.Typer()


@app.command()
def approve(job: shared.JobId, head: shared.Head = None, saturation: shared.Saturation = None) -> None:
    """Colour the other scans of a sampled job, in the way that you choose."""
    settings = load_settings()
    engine = open_database(settings)
    shown = samples.approve(engine, settings, job, local_actor(), head=head, saturation=saturation)
    note = f", in a way that its sample did not show; it showed {', '.join(shown)}" if shown else ""
    print(f"job {job} is running{note}")


@app.command()
def reject(job: shared.JobId) -> None:
    """End a sampled job: its other scans are not coloured."""
    samples.reject(configured_database(), job, local_actor())
    print(f"job {job} is cancelled")
