"""Another program that happens to have the right name is not used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.programs import Program

Install = Callable[[str], Path]
IMAGEMAGICK = Program(("convert",), "-version", r"\AVersion: ImageMagick (\d+\.\d+)", (6,), "install it")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a program named `convert` from a shell script; nothing else is on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(script: str) -> Path:
        path = tmp_path / "convert"
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)
        return path

    return install


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Converts a FAT volume to NTFS.'",
        "echo 'this stand-in does not know ImageMagick' >&2; exit 1",
        "echo 'Version: ImageMagick 5.5.7'",
        "echo 'Version: ImageMagick 6.9.11-60'; exit 1",
        "exit 0",
    ],
)
def test_another_program_of_the_name_is_not_used(script: str, install: Install) -> None:
    install(script)

    assert IMAGEMAGICK.path() is None


def test_the_program_itself_is_used(install: Install) -> None:
    path = install("echo 'Version: ImageMagick 6.9.11-60 Q16 x86_64'")

    assert IMAGEMAGICK.require() == str(path)


def test_a_test_that_needs_an_absent_program_is_skipped_and_says_what_to_install() -> None:
    absent = Program(("no-such-program",), "--version", "(1)", (1,), "build one")

    with pytest.raises(pytest.skip.Exception, match="no-such-program 1 or later: build one"):
        absent.require()
