"""`photochrom doctor`, `health` and `settings`, for whoever runs the machines."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from scheduler.cli.common import print_json
from scheduler.cli.display.diagnostic_tables import print_finding, print_settings
from scheduler.cli.options import Json
from scheduler.doctor import exit_status, look
from scheduler.doctor.health_check import ask
from worker.settings.reference import as_markdown, described
from worker.settings.settings import Settings, load_settings

app = typer.Typer()


@app.command()
def doctor(
    source: Annotated[
        str | None, typer.Option(help="A folder or s3://bucket/prefix whose scans this machine should read.")
    ] = None,
    destination: Annotated[
        str | None, typer.Option(help="A folder or s3://bucket/prefix where it should write outputs.")
    ] = None,
    model: Annotated[bool, typer.Option(help="Load the model and predict once.")] = True,
    json: Json = False,
) -> None:
    """Check everything that this machine needs, and say what to do.

    It checks the database, the broker, both stores, the checkpoint, the device, clocks, memory and disks. Exit status:
    0 nothing is wrong, 1 something is wrong, 3 a service can't be reached.
    """
    console = Console()
    findings = []
    for finding in look(load_settings(), source=source, destination=destination, with_model=model):
        findings.append(finding)
        if not json:
            print_finding(console, finding)
    if json:
        print_json([finding.as_row() for finding in findings])
    raise typer.Exit(exit_status(findings))


@app.command()
def health(
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it is alive, not whether it is ready.")
    ] = False,
) -> None:
    """Ask whether the worker, the scheduler or the web process on this machine is ready.

    It asks the process that listens on PHOTOCHROM_METRICS_PORT. Exit status: 0 ready, 3 not ready. Containers can use
    it as their health check.
    """
    print(ask(load_settings(), "live" if live else "ready"))


@app.command()
def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference page: defaults and meanings, no values.")
    ] = False,
    json: Json = False,
) -> None:
    """List every setting: its value, its default and its meaning.

    Secrets are not shown.
    """
    if markdown:
        print(as_markdown(Settings), end="")
        return
    rows = described(Settings, load_settings())
    if json:
        print_json([asdict(row) for row in rows])
    else:
        print_settings(Console(), rows)
