"""Runs the `photochrom` command as a person would, with an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path


def clean_environment(**settings: str) -> dict[str, str]:
    """This process' environment without its own Photochrom and AWS settings, and with the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHOTOCHROM_", "AWS_"))}
    return {**kept, "COLUMNS": "200", **settings}


def photochrom(
    *arguments: str | Path, folder: Path, timeout_seconds: float = 60, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "scheduler", *map(str, arguments)],
        cwd=folder,
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
