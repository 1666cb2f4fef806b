"""The `photochrom` command."""

import io
import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from scheduler.cli.errors import run_reporting_errors
from scheduler.cli.lazy import LazyGroup

app = typer.Typer(
    name="photochrom",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_given: bool) -> None:
    if is_given:
        print(f"photochrom {installed_version('photochrom')}")
        raise typer.Exit


@app.callback()
def photochrom(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Colourizes whole archive collections of greyscale scans."""


def main() -> None:
    """The entry of the `photochrom` command; see scheduler.cli.errors for the exit statuses."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A key may contain letters that the terminal's encoding does not have. They are shown as escapes.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_reporting_errors(lambda: app(prog_name="photochrom", standalone_mode=False)))
