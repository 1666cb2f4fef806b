"""The `photochrom` command.

Every command imports what it needs when it runs, so that `photochrom --help` answers at once.
"""

import sys

import typer

from scheduler.cli import jobs, models, processes, standalone
from worker.errors import PhotochromError

app = typer.Typer(
    name="photochrom",
    help="Colourizes whole archive collections of greyscale scans.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (standalone, jobs, processes, models):
    commands.add_to(app)


def main() -> None:
    """Errors in one line on standard error; exit status 0 done, 1 some scans failed, 2 wrong use, 3 service away."""
    try:
        app()
    except PhotochromError as error:
        print(f"photochrom: {error.message}", file=sys.stderr)
        sys.exit(error.exit_status)
