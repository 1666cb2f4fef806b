"""Runs the `photochrom` command as a person would, with an environment of its own."""

import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from scheduler.cli import main
from tests.waiting import PATIENCE_SECONDS


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment of this process, with `settings` in place of its own Photochrom and AWS settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHOTOCHROM_", "AWS_"))}
    return {**kept, "COLUMNS": "200", **settings}


def photochrom(
    *arguments: str | Path,
    folder: Path,
    timeout_seconds: float = 2 * PATIENCE_SECONDS,
    prefix: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    **settings: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end, with `environment`, or else with this process' and `settings`."""
    return subprocess.run(
        [*prefix, sys.executable, "-P", "-m", "scheduler", *map(str, arguments)],
        cwd=folder,
        env=environment or clean_environment(**settings),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def photochrom_here(*arguments: str | Path, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command as `photochrom` does, but within this process, which takes a tenth of the time.

    Commands that replace their process by another program cannot be run here.
    """
    typed = ["photochrom", *map(str, arguments)]
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        patch.dict(os.environ, clean_environment(**settings), clear=True),
        patch.object(sys, "argv", typed),
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        # A process would print these warnings, but no deprecation warnings.
        for shown in (UserWarning, RuntimeWarning, SyntaxWarning):
            warnings.simplefilter("error", shown)
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    said, complained = (bytes(stream.buffer.getvalue()).decode() for stream in (output, errors))  # type: ignore[attr-defined]
    assert isinstance(status, int)
    return subprocess.CompletedProcess(typed, status, said, complained)


@contextmanager
def photochrom_process(
    name: str, folder: Path, environment: dict[str, str], *, prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `photochrom NAME` with its output in `folder`/NAME.log. At the end, SIGTERM must end the process."""
    with (folder / f"{name}.log").open("ab") as log:
        command = [*prefix, sys.executable, "-P", "-m", "scheduler", name]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
