"""Real server and client processes, with the stand-in for the model."""

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from tests.waiting import PATIENCE_SECONDS, wait_until
from worker.errors import ScanError, ServiceUnavailable
from worker.inference.client import PredictionClient, hello, stats
from worker.inference.colour_options import ColourOptions
from worker.inference.models.stub_model import stub_ab

from .conftest import StartChild, StartServer


def a_scan(level: float) -> NDArray[np.float32]:
    return np.full((400, 400), level, np.float32)


@pytest.fixture
def client(socket_path: Path) -> Iterator[PredictionClient]:
    client = PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS)
    yield client
    client.close()


def test_children_with_many_threads_get_their_own_scans_colours(
    start_server: StartServer, start_child: StartChild, socket_path: Path
) -> None:
    start_server()
    children = [start_child(4, 25, seed) for seed in range(3)]
    assert [child.communicate(timeout=PATIENCE_SECONDS)[0].split()[-1] for child in children] == ["100"] * 3
    assert stats(socket_path, 5)["scans"] == 300


def test_scans_of_two_children_share_a_batch(start_server: StartServer, socket_path: Path) -> None:
    start_server(200, batch_size=8)
    clients = [PredictionClient(socket_path, slots=4, timeout_seconds=PATIENCE_SECONDS) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: clients[i % 2].predict(a_scan(i)), range(24)))
    counters = stats(socket_path, 5)
    for client in clients:
        client.close()
    # The first batch may hold few scans. The scans that come while it runs fill the next batches.
    assert counters["batches"] <= 6


def test_hello_describes_the_server(start_server: StartServer, socket_path: Path) -> None:
    server = start_server(batch_size=3)
    info = hello(socket_path, 5)
    assert (info.checkpoint_id, info.batch_size, info.pid) == ("stand-in", 3, server.pid)


def test_nobody_at_the_socket_is_service_unavailable(socket_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="no model server answers"):
        hello(socket_path, 1)


def test_a_prediction_says_where_it_came_from(start_server: StartServer, client: PredictionClient) -> None:
    start_server(30)
    prediction = client.predict(a_scan(50))
    assert np.array_equal(prediction.ab, stub_ab(a_scan(50)))
    assert (prediction.checkpoint_id, prediction.certainty) == ("stand-in", None)
    assert prediction.predict_ms >= 30
    assert prediction.wait_ms > 0


def test_each_scan_is_coloured_by_the_head_that_it_asks_for(start_server: StartServer, socket_path: Path) -> None:
    start_server()
    client = PredictionClient(socket_path, slots=2, timeout_seconds=20)

    vivid = client.predict(a_scan(50), ColourOptions(head="vivid"))

    assert (vivid.head, vivid.checkpoint_id) == ("vivid", "stand-in-vivid")
    assert np.array_equal(vivid.ab, stub_ab(a_scan(50))[..., ::-1])
    client.close()


def test_only_its_user_can_reach_the_socket(start_server: StartServer, socket_path: Path) -> None:
    start_server()
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700


def test_more_callers_than_slots_take_turns(start_server: StartServer, socket_path: Path) -> None:
    start_server(1)
    client = PredictionClient(socket_path, slots=1, timeout_seconds=PATIENCE_SECONDS)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda level: client.predict(a_scan(level)).ab, range(18)))
    client.close()
    assert all(np.array_equal(ab, stub_ab(a_scan(level))) for level, ab in enumerate(results))


def test_a_scan_that_is_not_finite_fails_for_good(start_server: StartServer, client: PredictionClient) -> None:
    start_server()
    with pytest.raises(ScanError) as caught:
        client.predict(a_scan(np.nan))
    assert (caught.value.code, caught.value.permanent) == ("model_failed", True)
    assert np.array_equal(client.predict(a_scan(3)).ab, stub_ab(a_scan(3)))


def test_no_server_within_the_timeout_may_pass(socket_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        PredictionClient(socket_path, slots=1, timeout_seconds=0.2).predict(a_scan(1))
    assert (caught.value.code, caught.value.permanent) == ("model_unavailable", False)


def test_a_server_that_hangs_is_given_up_after_the_timeout(start_server: StartServer, socket_path: Path) -> None:
    server = start_server()
    client = PredictionClient(socket_path, slots=1, timeout_seconds=0.5)
    client.predict(a_scan(1))
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    while psutil.Process(server.pid).status() != psutil.STATUS_STOPPED:  # the signal takes a moment
        time.sleep(0.01)
    with pytest.raises(ScanError, match=r"within 0\.5 s"):
        client.predict(a_scan(2))
    os.kill(server.pid, signal.SIGCONT)
    assert np.array_equal(client.predict(a_scan(3)).ab, stub_ab(a_scan(3)))
    client.close()


def test_a_client_from_before_a_fork_is_refused(client: PredictionClient) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            client.predict(a_scan(1))
        except RuntimeError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@pytest.mark.parametrize(
    "rubbish",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"\x03\x00\x00\x00[1]",
        b"\x04\x00\x00\x00nope",
        b'\x10\x00\x00\x00{"do": "delete"}',
        b'\x1c\x00\x00\x00{"do": "predict", "slot": 0}',
        b'\x1b\x00\x00\x00{"do": "attach", "slots":1}',
        b'\x10\x00\x00\x00{"do": ',
    ],
)
def test_a_client_that_sends_rubbish_is_dropped_and_the_others_go_on(
    start_server: StartServer, socket_path: Path, client: PredictionClient, rubbish: bytes
) -> None:
    start_server()
    client.predict(a_scan(1))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(10)
        stranger.connect(str(socket_path))
        stranger.sendall(rubbish)
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(100) == b""
    assert np.array_equal(client.predict(a_scan(2)).ab, stub_ab(a_scan(2)))


def test_a_client_killed_in_the_middle_of_a_batch_delays_no_other_client(
    start_server: StartServer, start_child: StartChild, socket_path: Path, client: PredictionClient
) -> None:
    server = start_server(50)
    client.predict(a_scan(1))
    assert server.pid
    before = len(os.listdir(f"/proc/{server.pid}/fd"))
    child = start_child(4, 1000)
    assert child.stdout
    child.stdout.readline()
    child.kill()
    child.wait()
    assert np.array_equal(client.predict(a_scan(2)).ab, stub_ab(a_scan(2)))
    wait_until(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) == before)
    wait_until(lambda: Path(f"/proc/{server.pid}/maps").read_text().count("photochrom-slots") == 1)


def test_sigterm_finishes_the_running_batch(start_server: StartServer, socket_path: Path, tmp_path: Path) -> None:
    server = start_server(500, batch_size=1, odd=True)
    client = PredictionClient(socket_path, slots=1, timeout_seconds=PATIENCE_SECONDS)
    results: list[NDArray[np.float32]] = []
    waiting = threading.Thread(target=lambda: results.append(client.predict(a_scan(5)).ab))
    waiting.start()
    wait_until((tmp_path / "batches").exists)
    server.stop()
    waiting.join(20)
    client.close()
    assert np.array_equal(results[0], stub_ab(a_scan(5)))
    assert not socket_path.exists()
