"""On the command line, a text that is no number, or a number beyond the limits, is refused in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.catalogue import COMMANDS
from scheduler.cli.lazy import load_command
from tests.acceptance.command import photochrom_here

HUGE = "9" * 5000
WRONG = ["9" * 20, "-" + "9" * 20, HUGE, "1e400", "nan", "inf", "-inf", "seven", "", "1.5", "٣", "0x10", " "]
WHOLE_NUMBER_ONLY = {"1.5"}


def numbers() -> list[tuple[list[str], Any, str]]:
    """Each number that a command takes: the words of the command, the command itself, and the number's name."""
    typed = []
    for name, entry in COMMANDS.items():
        command = load_command(name, entry)
        for leaf_name, leaf in getattr(command, "commands", {"": command}).items():
            words = [name, leaf_name] if leaf_name else [name]
            for parameter in leaf.params:
                if parameter.type_descriptor.annotation in (int, float):
                    typed.append((words, leaf, parameter.name))
    return typed


def arguments_with(command: Any, number_name: str, text: str) -> list[str]:
    """The fewest arguments that the command accepts, with `text` for the number of this name."""
    options: list[str] = []
    positions: list[str] = []
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        if parameter.name == number_name:
            options += [f"{parameter.opts[0]}={text}"] * is_option
            positions += [text] * (not is_option)
        elif parameter.required:
            value = "1" if parameter.type_descriptor.annotation is int else "x"
            options += [f"{parameter.opts[0]}={value}"] * is_option
            positions += [value] * (not is_option)
    return [*options, "--", *positions]


@pytest.mark.parametrize(
    ("words", "command", "name"), numbers(), ids=lambda value: str(value) if isinstance(value, (list, str)) else ""
)
def test_a_wrong_number_is_refused_in_one_sentence(words: list[str], command: Any, name: str, tmp_path: Path) -> None:
    parameter = next(parameter for parameter in command.params if parameter.name == name)
    for text in WRONG:
        if parameter.type_descriptor.annotation is float and text in WHOLE_NUMBER_ONLY:
            continue

        refused = photochrom_here(*words, *arguments_with(command, name, text), folder=tmp_path)

        assert refused.returncode == 2, (text, refused.stderr)
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
        assert "expected" in refused.stderr, refused.stderr
        assert len(refused.stderr) < 300
    assert list(tmp_path.iterdir()) == []
