"""Runs the `photochrom` command as a person would, with an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def clean_environment(**settings: str) -> dict[str, str]:
    """This process' environment without its own Photochrom and AWS settings, and with the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHOTOCHROM_", "AWS_"))}
    return {**kept, "COLUMNS": "200", **settings}


def photochrom(
    *arguments: str | Path,
    folder: Path,
    timeout_seconds: float = 60,
    prefix: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    **settings: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end: in `environment`, or this process' with `settings`."""
    return subprocess.run(
        [*prefix, sys.executable, "-P", "-m", "scheduler", *map(str, arguments)],
        cwd=folder,
        env=environment or clean_environment(**settings),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


@contextmanager
def photochrom_process(
    name: str, folder: Path, environment: dict[str, str], *, prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """`photochrom scheduler` or `photochrom worker`, its output in `folder`/NAME.log; it must end when told to."""
    with (folder / f"{name}.log").open("ab") as log:
        command = [*prefix, sys.executable, "-P", "-m", "scheduler", name]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
