"""The `photochrom` command.

Every command imports what it needs when it runs, so that `photochrom --help` answers at once.
"""

import os
import sys

import typer
from typer.exceptions import TyperException

from scheduler.cli import bench, jobs, models, operator, processes, review, schedules, standalone
from worker.errors import PhotochromError

WRONG_USE, INTERRUPTED = 2, 130

app = typer.Typer(
    name="photochrom",
    help="Colourizes whole archive collections of greyscale scans.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (standalone, jobs, schedules, review, processes, operator, models, bench):
    commands.add_to(app)


def main() -> None:
    """Errors in one line on standard error; exit status 0 done, 1 some scans failed, 2 wrong use, 3 service away."""
    sys.exit(_run())


def _run() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except PhotochromError as error:
        return _refuse(error.message, error.exit_status)
    except TyperException as error:
        sentence = error.format_message()
        # Without a sentence, what there is to say is the help, and it has been printed.
        return _refuse(f"{sentence.rstrip('.')}; see --help", WRONG_USE) if sentence else WRONG_USE
    except typer.Abort:
        return _refuse("stopped", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'} can't be used ({error.strerror}); name another place", WRONG_USE)


def _refuse(sentence: str, status: int) -> int:
    print(f"photochrom: {sentence}", file=sys.stderr)
    return status
