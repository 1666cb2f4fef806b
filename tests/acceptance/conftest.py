"""Commands and processes that run with the fixture `settings` of a test module."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.command import clean_environment, photochrom
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def command(settings: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *arguments: photochrom(*arguments, folder=tmp_path, **settings)


@pytest.fixture
def start(settings: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `photochrom scheduler` or `photochrom worker`, behind `prefix` and with other settings where some are
    named. At the end of the test, SIGTERM must end each process.
    """
    with ExitStack() as running:

        def start(name: str, prefix: Sequence[str] = (), **changes: str) -> subprocess.Popen[bytes]:
            log = running.enter_context((tmp_path / f"{name}.log").open("ab"))
            process = subprocess.Popen(
                [*prefix, sys.executable, "-P", "-m", "scheduler", name],
                cwd=tmp_path,
                env=clean_environment(**{**settings, **changes}),
                stdout=log,
                stderr=log,
            )
            running.callback(process.wait, PATIENCE_SECONDS)
            running.callback(process.terminate)
            return process

        yield start
