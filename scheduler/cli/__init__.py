"""The `photochrom` command.

Every command imports what it needs when it runs, so that `photochrom --help` answers at once.
"""

import io
import os
import sys

import typer
from typer.exceptions import TyperException

from scheduler.cli.commands import bench, diagnostics, jobs, models, processes, review, schedules, standalone
from worker.errors import PhotochromError, unusable

WRONG_USE, INTERRUPTED, UNREAD = 2, 130, 141  # the last two as a shell gives them for SIGINT and SIGPIPE

app = typer.Typer(
    name="photochrom",
    help="Colourizes whole archive collections of greyscale scans.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (standalone, jobs, schedules, review, processes, diagnostics, models, bench):
    commands.add_to(app)


def main() -> None:
    """Errors in one line on standard error; exit status 0 done, 1 some scans failed, 2 wrong use, 3 service away."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A key may hold letters that the terminal's encoding lacks; it is shown with escapes instead.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run())


def _run() -> int:
    try:
        status = int(app(standalone_mode=False) or 0)
        sys.stdout.flush()  # a pipe that closed is told of here, not at Python's end
        # Typer makes a status of Ctrl-C without a word.
        return _refuse("stopped", status) if status == INTERRUPTED else status
    except PhotochromError as error:
        return _refuse(error.message, error.exit_status)
    except TyperException as error:
        sentence = error.format_message()
        # Without a sentence, what there is to say is the help, and it has been printed.
        return _refuse(f"{sentence.rstrip('.')}; see --help", WRONG_USE) if sentence else WRONG_USE
    except typer.Abort:
        return _refuse("stopped", INTERRUPTED)
    except SystemExit as ended:
        # Typer and Rich make a 1 of a closed pipe, which here means that scans failed.
        if isinstance(ended.__context__, BrokenPipeError):
            return _unread()
        raise
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        return _refuse(unusable(error).message, WRONG_USE)


def _unread() -> int:
    """Whoever read the output has seen enough; Python must not complain again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD


def _refuse(sentence: str, status: int) -> int:
    print(f"photochrom: {sentence}", file=sys.stderr)
    return status
