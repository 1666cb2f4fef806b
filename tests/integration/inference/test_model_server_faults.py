"""Model servers that die, fail or refuse to start."""

import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.waiting import PATIENCE_SECONDS, wait_until
from worker.errors import CheckpointError, ScanError
from worker.inference.client import PredictionClient, hello
from worker.inference.models.stub_model import stub_ab
from worker.settings.model_options import ModelOptions
from worker.supervision.model_server_process import ModelServerProcess

from .conftest import StartChild, StartServer
from .test_model_server import a_scan


class Polled:
    """Polls a server in a thread, as the worker's parent does."""

    def __init__(self, server: ModelServerProcess) -> None:
        self._server, self._stop = server, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self._server.poll()


def test_all_predictions_come_though_the_server_is_killed_in_its_batches(
    start_server: StartServer, start_child: StartChild
) -> None:
    server = start_server(20)
    children = [start_child(2, 20, seed) for seed in range(2)]
    with Polled(server):
        for kills in range(2):
            assert children[0].stdout
            [children[0].stdout.readline() for _ in range(5)]
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            wait_until(partial(_restarted, server, kills + 1))
        ends = [child.communicate(timeout=PATIENCE_SECONDS)[0].split()[-1] for child in children]
    assert ends == ["40", "40"]


def test_a_scan_that_kills_the_server_fails_alone(start_server: StartServer, socket_path: Path, tmp_path: Path) -> None:
    """The other scans of its batch are tried apart from it, so it alone is on the device when the next servers die."""
    server = start_server(20, odd=True)
    client = PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS)
    with Polled(server), ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(client.predict, a_scan(level)) for level in (1, 2, 66, 3)]
        rights = [
            np.array_equal(futures[i].result(PATIENCE_SECONDS).ab, stub_ab(a_scan(level)))
            for i, level in ((0, 1), (1, 2), (3, 3))
        ]
        error = futures[2].exception(30)
    client.close()
    assert all(rights)
    assert isinstance(error, ScanError)
    assert (error.code, error.permanent) == ("worker_killed", True)
    assert [line for line in (tmp_path / "batches").read_text().splitlines() if "66" in line][1:] == ["66.0", "66.0"]


def test_a_lost_device_ends_the_server_and_the_next_one_goes_on(start_server: StartServer, socket_path: Path) -> None:
    server = start_server(odd=True)
    client = PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS)
    with Polled(server), ThreadPoolExecutor(4) as pool:
        errors = [future.exception(30) for future in [pool.submit(client.predict, a_scan(77)) for _ in range(16)]]
        wait_until(lambda: server.restarts == 1)
        assert np.array_equal(client.predict(a_scan(5)).ab, stub_ab(a_scan(5)))
    client.close()
    assert all(isinstance(error, ScanError) and not error.permanent for error in errors)


def test_a_server_whose_device_hangs_is_replaced_and_the_scan_is_predicted(
    start_server: StartServer, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(odd=True)
    client = PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS)
    with Polled(server):
        assert np.array_equal(client.predict(a_scan(55)).ab, stub_ab(a_scan(55)))
    client.close()
    assert server.restarts == 1
    assert "has had a batch on its device" in caplog.text


def test_a_server_that_is_frozen_is_replaced(start_server: StartServer, socket_path: Path) -> None:
    server = start_server()
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    client = PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS)
    with Polled(server):
        assert np.array_equal(client.predict(a_scan(5)).ab, stub_ab(a_scan(5)))
    client.close()
    assert server.restarts == 1


def test_a_model_too_large_for_the_device_is_loaded_for_smaller_batches(
    start_server: StartServer, socket_path: Path
) -> None:
    server = start_server(odd=True)
    client = PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS)
    assert np.array_equal(client.predict(a_scan(88)).ab, stub_ab(a_scan(88)))
    client.close()
    assert (hello(socket_path, 5).batch_size, server.restarts) == (1, 0)


def test_a_refused_checkpoint_is_not_tried_again(socket_path: Path) -> None:
    server = ModelServerProcess(socket_path, ModelOptions(batch_size=4))
    server.start()
    with pytest.raises(CheckpointError, match=r"^no checkpoint was given; expected --checkpoint FOLDER$"):
        server.wait_ready(PATIENCE_SECONDS)
    server.poll()
    assert server.pid is None


def test_a_server_that_dies_at_once_is_started_again_ever_later(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ModelServerProcess(socket_path, ModelOptions(batch_size=4), command=("/bin/false",))
    server.start()
    with caplog.at_level(logging.WARNING), Polled(server):
        wait_until(lambda: len(caplog.messages) == 3)
    server.stop()
    assert [message.split(" in ")[1] for message in caplog.messages] == ["0.2 s", "0.4 s", "0.8 s"]


def test_a_killed_servers_socket_is_replaced(start_server: StartServer, socket_path: Path) -> None:
    first = start_server()
    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: first.pid is None)
    assert socket_path.is_socket()
    start_server()


def test_a_second_server_on_the_same_socket_refuses(start_server: StartServer, socket_path: Path) -> None:
    start_server()
    command = [sys.executable, "-m", "worker.inference.server", "--socket", str(socket_path)]
    second = subprocess.run(
        [*command, "--stub-milliseconds", "0"], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert second.returncode == 2
    assert "already listening" in second.stderr


def test_the_server_ends_with_its_parent(socket_path: Path) -> None:
    """The parent is killed, so no code of the parent can stop the server."""
    script = (
        "import sys, time; from worker.supervision.model_server_process import ModelServerProcess\n"
        "from worker.settings.model_options import ModelOptions\n"
        "server = ModelServerProcess(sys.argv[1], ModelOptions(batch_size=4, stub_milliseconds=0))\n"
        "server.start(); server.wait_ready(120); print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(socket_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    server_pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_until(lambda: not _alive(server_pid))
    assert not socket_path.exists()


def test_the_stub_server_loads_no_tensorflow(socket_path: Path, start_server: StartServer) -> None:
    server = start_server()
    assert "tensorflow" not in Path(f"/proc/{server.pid}/maps").read_text()


def _restarted(server: ModelServerProcess, times: int) -> bool:
    return server.restarts == times


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
