"""Errors as people see them: one line on standard error, and an exit status.

0 done, 1 some scans failed, 2 wrong use, 3 a service can't be reached, 70 a fault in Photochrom itself; 130 and 141 as
a shell gives them for SIGINT and SIGPIPE.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from worker.errors import PhotochromError, UsageError, unusable
from worker.extras import missing_extra

WRONG_USE, FAULT, INTERRUPTED, UNREAD = 2, 70, 130, 141


def run_reporting_errors(command: Callable[[], Any]) -> int:
    """The exit status of `command`, a Typer app that is not in standalone mode; what it raises becomes one line."""
    try:
        status = int(command() or 0)
        sys.stdout.flush()  # a closed pipe shows here, not when Python ends
        # Typer makes a status of Ctrl-C, and prints nothing.
        return _refuse("stopped", status) if status == INTERRUPTED else status
    except SystemExit as exit:
        # Typer and Rich exit with 1 when a pipe is closed, which here means that scans failed.
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
    """Print what a person can do about an error; its exit status."""
    if isinstance(error, TyperException):
        sentence = wrong_use(error)
        # Without a sentence, what there is to say is the help, and it has been printed.
        return _refuse(f"{sentence}; see --help", WRONG_USE) if sentence else WRONG_USE
    translated = as_photochrom_error(error)
    if translated is not None:
        return _refuse(translated.message, translated.exit_status)
    return _refuse(fault(error), FAULT)


def as_photochrom_error(error: Exception) -> PhotochromError | None:
    """An error of our own; one made of an error that the system or an argument caused; or None."""
    if isinstance(error, PhotochromError):
        return error
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
    """What is wrong with the arguments: what was given, and what is expected; "" where the help has been printed."""
    if isinstance(error, typer.BadParameter) and isinstance(error.__cause__, ValidationError):
        return _bad_value(error, error.__cause__)
    return error.format_message().rstrip(".")


def _bad_value(error: typer.BadParameter, cause: ValidationError) -> str:
    detail = cause.errors(include_url=False)[0]
    value = ascii(str(detail["input"])[:40])
    return f"{_name(error.param)} is {value}; expected {_expectation(error.param, detail)}"


def _name(parameter: Any) -> str:
    """As it is typed: --limit, or JOB."""
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
    """One line about an error that no part of the program expects, for whoever mends it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""  # noqa: PTH119
    text = " ".join(str(error).split())[:300]
    return f"a fault in Photochrom: {type(error).__name__}{place}: {text}; please report it with the command"


def _unread() -> int:
    """Whoever read the output has seen enough; Python must not complain again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD


def _refuse(sentence: str, status: int) -> int:
    print(f"photochrom: {sentence}", file=sys.stderr)
    return status
