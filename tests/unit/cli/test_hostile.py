"""Every command answers hostile arguments with at most one line on standard error, and with no traceback."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from db.migrations import upgrade
from db.session import make_engine
from scheduler.cli.catalogue import COMMANDS
from scheduler.cli.errors import FAULT, run_reporting_errors
from scheduler.cli.lazy import load_command
from tests.acceptance.command import photochrom_here
from tests.integration.scheduler.test_review import make_doubtful_job
from worker.errors import LeaseLost

# Commands that become another program, run until they are stopped, or take minutes.
ENDLESS = {"worker", "scheduler", "web", "train", "cross-fit", "expect", "evaluate", "demo", "bench", "doctor"}
HOSTILE = ["\udcff[/]{}%s\x1b[2J\u202e", "../" * 20_000]


@pytest.fixture
def database(sqlite_url: str) -> str:
    engine: Engine = make_engine(sqlite_url)
    upgrade(engine)
    make_doubtful_job(engine)
    return sqlite_url


def arguments_with(command: Any, name: str, text: str) -> list[str]:
    """The fewest arguments that the command accepts, with `text` for the parameter of this name."""
    options: list[str] = []
    positions: list[str] = []
    for parameter in command.params:
        if parameter.name == name or parameter.required:
            value = text if parameter.name == name else "1"
            is_option = parameter.param_type_name == "option"
            options += [f"{parameter.opts[0]}={value}"] * is_option
            positions += [value] * (not is_option)
    return [*options, "--", *positions]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - ENDLESS))
def test_hostile_arguments_end_in_one_line(name: str, database: str, tmp_path: Path) -> None:
    command = load_command(name, COMMANDS[name])
    for leaf_name, leaf in getattr(command, "commands", {"": command}).items():
        words = [name, leaf_name] if leaf_name else [name]
        for parameter in leaf.params:
            if getattr(parameter, "is_bool_flag", False) or parameter.name == "help":
                continue
            for text in HOSTILE:
                arguments = arguments_with(leaf, parameter.name, text)

                run = photochrom_here(*words, *arguments, folder=tmp_path, PHOTOCHROM_DATABASE_URL=database)

                assert run.returncode in (0, 1, 2, 3), (words, parameter.name, run.stderr)
                assert len(run.stderr.splitlines()) <= 1, run.stderr


def test_a_fault_is_one_line_with_its_place_and_a_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def faulty() -> int:
        raise ZeroDivisionError("division by zero")

    assert run_reporting_errors(faulty) == FAULT
    line = capsys.readouterr().err
    assert line.startswith("photochrom: a fault in Photochrom: ZeroDivisionError at test_hostile.py:")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), MemoryError(), OSError(28, "full"), LeaseLost("taken")],
)
def test_errors_caused_by_an_argument_the_machine_or_another_process_are_no_faults(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> int:
        raise error

    assert run_reporting_errors(failing) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
