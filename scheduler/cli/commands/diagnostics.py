"""Commands for whoever runs the pool: doctor, health, settings."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

PANEL = "Operation"
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def add_to(app: typer.Typer) -> None:
    for command in (doctor, health, settings):
        app.command(rich_help_panel=PANEL)(command)


def doctor(
    source: Annotated[Optional[str], typer.Option(help="A place whose scans this machine is to read.")] = None,  # noqa: UP045
    destination: Annotated[Optional[str], typer.Option(help="A place where it is to write outputs.")] = None,  # noqa: UP045
    model: Annotated[bool, typer.Option(help="Start the model too, and predict once.")] = True,
    json: Json = False,
) -> None:
    """Look at every service, store, checkpoint, clock and disk from this machine, and say what to do."""
    from dataclasses import asdict

    from scheduler.cli import common
    from scheduler.cli.display.diagnostic_tables import print_finding
    from scheduler.doctor import exit_status, look

    console = common.console()
    findings = []
    for finding in look(common.settings(), source=source, destination=destination, with_model=model):
        findings.append(finding)
        if not json:
            print_finding(console, finding)
    if json:
        common.print_json([asdict(finding) for finding in findings])
    raise typer.Exit(exit_status(findings))


def health(
    live: Annotated[bool, typer.Option("--live", help="Only whether it lives, not whether it is ready.")] = False,
) -> None:
    """Ask the worker or scheduler behind PHOTOCHROM_METRICS_PORT whether it is ready; for containers."""
    from scheduler.cli import common
    from scheduler.doctor.health_check import ask

    print(ask(common.settings(), "live" if live else "ready"))


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference: defaults, and no values.")] = False,
    json: Json = False,
) -> None:
    """List every setting: its value here, its default, its meaning. Secrets are not shown."""
    from dataclasses import asdict

    from scheduler.cli import common
    from scheduler.cli.display.diagnostic_tables import print_settings
    from worker.settings.reference import as_markdown, described
    from worker.settings.settings import Settings

    if markdown:
        print(as_markdown(Settings), end="")
        return
    rows = described(Settings, common.settings())
    if json:
        common.print_json([asdict(row) for row in rows])
    else:
        print_settings(common.console(), rows)
