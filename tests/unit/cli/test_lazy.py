"""The command line's commands, each loaded when it runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.catalogue import COMMANDS
from scheduler.cli.lazy import load_command
from tests.acceptance.command import photochrom_here

HEAVY = {"sqlalchemy", "celery", "boto3", "numpy", "pyvips", "cv2", "tensorflow", "keras", "scheduler.cli.options"}


def loaded_by(*arguments: str) -> set[str]:
    """Modules that `photochrom ARGUMENTS` loads."""
    code = (
        "import sys, scheduler.cli as cli\n"
        f"sys.argv = ['photochrom', *{list(arguments)!r}]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["colourise"]], ids=str)
def test_without_a_command_nothing_heavy_is_loaded(arguments: list[str]) -> None:
    assert loaded_by(*arguments) & HEAVY == set()


def test_a_command_loads_no_other_command() -> None:
    commands = {name for name in loaded_by("pause", "--help") if name.startswith("scheduler.cli.commands.")}

    assert commands == {"scheduler.cli.commands.jobs", "scheduler.cli.commands.jobs.control"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_catalogue_says_what_the_command_says(name: str) -> None:
    command = load_command(name, COMMANDS[name])

    assert command.help.split("\n\n")[0].replace("\n", " ") == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_a_sentence(name: str) -> None:
    for command in leaves(load_command(name, COMMANDS[name])):
        for parameter in command.params:
            assert parameter.help[:1].isupper(), f"{name} {parameter.name}: {parameter.help}"
            assert parameter.help.endswith("."), f"{name} {parameter.name}: {parameter.help}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_numeric_setting_has_limits(name: str) -> None:
    for command in leaves(load_command(name, COMMANDS[name])):
        for parameter in command.params:
            limits = parameter.type_descriptor.parameter_info
            if parameter.type_descriptor.annotation in (int, float) and limits.parser is None:
                assert limits.min is not None, f"{name} {parameter.name}"
                assert limits.max is not None, f"{name} {parameter.name}"


def leaves(command: Any) -> list[Any]:
    return list(getattr(command, "commands", {"": command}).values())


def test_the_version_is_that_of_the_installation(tmp_path: Path) -> None:
    assert photochrom_here("--version", folder=tmp_path).stdout == "photochrom 0.1.0\n"


def test_a_misspelt_command_is_refused_with_the_nearest(tmp_path: Path) -> None:
    refused = photochrom_here("statsu", folder=tmp_path)

    assert refused.returncode == 2
    assert "Did you mean 'status'" in refused.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("photochrom sch", {"schedule", "scheduler"}), ("photochrom schedule e", {"edit", "enable"})],
)
def test_the_shell_completes_commands(tmp_path: Path, typed: str, offered: set[str]) -> None:
    completed = complete(tmp_path, typed)

    assert {line.split(",")[-1].strip() for line in completed} == offered


def test_the_shell_completes_choices(tmp_path: Path) -> None:
    assert set(complete(tmp_path, "photochrom submit a b --format j")) == {"jpeg", "jp2"}


def complete(folder: Path, typed: str) -> list[str]:
    variables = {"_PHOTOCHROM_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    return photochrom_here(folder=folder, **variables).stdout.split()


def test_completion_can_be_shown_for_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", "/bin/bash"))  # the tests may run in no shell
    shown = photochrom_here("--show-completion", "bash", folder=tmp_path)

    assert "complete -o default -F _photochrom_completion photochrom" in shown.stdout


def test_the_earlier_name_of_cross_fit_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, words: became.append(words))

    run = photochrom_here("expect", "photos", "--output", "x.npz", folder=tmp_path)

    assert became[0][-4:] == ["cross-fit", "photos", "--output", "x.npz"]
    assert "is now called photochrom cross-fit" in run.stderr
