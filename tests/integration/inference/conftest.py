import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS
from worker.settings.model_options import ModelOptions
from worker.supervision.model_server_process import ModelServerProcess

HERE = Path(__file__).parent
StartServer = Callable[..., ModelServerProcess]
StartChild = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    # The server makes this folder, as a private one. Its name is short because a Unix socket's path has a limit of
    # 107 bytes.
    return tmp_path / "s" / "model"


@pytest.fixture
def start_server(socket_path: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Start a stand-in server and wait until it answers; with `odd`, start the one in odd_server.py."""
    started: list[ModelServerProcess] = []

    def start(milliseconds: float = 0.0, *, batch_size: int = 4, odd: bool = False) -> ModelServerProcess:
        server = ModelServerProcess(
            socket_path,
            ModelOptions(batch_size=batch_size, stub_milliseconds=milliseconds),
            hangs_after_seconds=2,
            environment={
                **os.environ,
                "BATCHES_FILE": str(tmp_path / "batches"),
                "HUNG_FILE": str(tmp_path / "hung"),
            },
            command=(sys.executable, *([str(HERE / "odd_server.py")] if odd else ["-m", "worker.inference.server"])),
        )
        started.append(server)
        server.start()
        server.wait_ready(PATIENCE_SECONDS)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def start_child(socket_path: Path) -> Iterator[StartChild]:
    """Start child.py, and return the process with its output as a pipe."""
    started: list[subprocess.Popen[str]] = []

    def start(threads: int, scans: int, seed: int = 0) -> "subprocess.Popen[str]":
        command = [sys.executable, str(HERE / "child.py"), str(socket_path), *map(str, (threads, scans, seed))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()
