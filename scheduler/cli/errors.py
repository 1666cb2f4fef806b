"""Errors as people see them: one line on standard error, and an exit status.

0 done, 1 some scans failed, 2 wrong use, 3 a service can't be reached, 70 a fault in Photochrom itself; 130 after
SIGINT and 141 after SIGPIPE, as in a shell.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from worker.errors import Conflict, LeaseLost, PhotochromError, UsageError, unusable
from worker.extras import missing_extra

WRONG_USE, FAULT, INTERRUPTED, UNREAD = 2, 70, 130, 141


def run_reporting_errors(command: Callable[[], Any]) -> int:
    """Run `command`, a Typer app that is not in standalone mode.

    Returns its exit status; prints an exception as one line.
    """
    try:
        status = int(command() or 0)
        sys.stdout.flush()  # a closed pipe is noticed here, not when Python ends
        # Typer turns Ctrl-C into an exit status and prints nothing.
        return _refuse("stopped", status) if status == INTERRUPTED else status
    except SystemExit as exit:
        # Typer and Rich exit with 1 if a pipe is closed, but here 1 means that scans failed.
        if isinstance(exit.__context__, BrokenPipeError):
            return _unread()
        raise
    except BrokenPipeError:
        return _unread()
    except (KeyboardInterrupt, typer.Abort):
        return _refuse("stopped", INTERRUPTED)
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """Print what a person can do about an error. Returns its exit status."""
    if isinstance(error, TyperException):
        sentence = wrong_use(error)
        # Without a sentence, the help has been printed already.
        return _refuse(f"{sentence}; see --help", WRONG_USE) if sentence else WRONG_USE
    translated = as_photochrom_error(error)
    if translated is not None:
        return _refuse(translated.message, translated.exit_status)
    return _refuse(fault(error), FAULT)


def as_photochrom_error(error: Exception) -> PhotochromError | None:
    """Photochrom's own error for this exception, also if the system or an argument caused it; None if it is a fault."""
    if isinstance(error, PhotochromError):
        return error
    if isinstance(error, LeaseLost):
        return Conflict(str(error))
    if isinstance(error, OSError):
        return unusable(error)
    if isinstance(error, ModuleNotFoundError):
        return missing_extra(error)
    if isinstance(error, UnicodeEncodeError):
        text = ascii(error.object[:80])
        return UsageError(f"{text} is not valid UTF-8, so it can be neither stored nor sent; write it in UTF-8")
    if isinstance(error, MemoryError):
        return UsageError("this machine's memory is full; give the command more memory, or less to do at once")
    return None


def wrong_use(error: TyperException) -> str:
    """A sentence about wrong arguments: what was given, and what is expected; "" if the help has been printed."""
    if isinstance(error, typer.BadParameter) and isinstance(error.__cause__, ValidationError):
        return _bad_value(error, error.__cause__)
    return error.format_message().rstrip(".")


def _bad_value(error: typer.BadParameter, cause: ValidationError) -> str:
    detail = cause.errors(include_url=False)[0]
    value = ascii(str(detail["input"])[:40])
    return f"{_name(error.param)} is {value}; expected {_expectation(error.param, detail)}"


def _name(parameter: Any) -> str:
    """A parameter's name as people type it: --limit, or JOB."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper()).strip("[].")


def _expectation(parameter: Any, detail: Any) -> str:
    noun = {int: "a whole number", float: "a number"}.get(parameter.type_descriptor.annotation)
    if "error" in detail.get("ctx", {}):
        return str(detail["ctx"]["error"])
    if noun is None:
        return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
    limits = parameter.type_descriptor.parameter_info
    if limits.min is None or limits.max is None:
        return noun
    return f"{noun} from {limits.min:,} to {limits.max:,}"


def fault(error: Exception) -> str:
    """One line about an unexpected error, for the developers."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""  # noqa: PTH119
    text = " ".join(str(error).split())[:300]
    return f"a fault in Photochrom: {type(error).__name__}{place}: {text}; please report it with the command"


def _unread() -> int:
    """The reader of the output has closed it. Keep Python from complaining about this when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD


def _refuse(sentence: str, status: int) -> int:
    print(f"photochrom: {sentence}", file=sys.stderr)
    return status
