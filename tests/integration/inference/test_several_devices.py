"""Several model servers of one worker, each with the stand-in for the model."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.waiting import PATIENCE_SECONDS
from worker.errors import ServiceUnavailable, UsageError
from worker.inference.client import PredictionClient
from worker.settings.model_options import ModelOptions
from worker.supervision.model_server_process import ModelServerProcess
from worker.supervision.model_servers import ModelServers


def server_of(folder: Path, number: int) -> ModelServerProcess:
    return ModelServerProcess(
        folder / "s" / f"model-{number}.sock",
        ModelOptions(batch_size=4 - number, batch_wait_milliseconds=0, stub_milliseconds=0),
        environment={**os.environ, "CUDA_VISIBLE_DEVICES": str(number)},
    )


@pytest.fixture
def processes(tmp_path: Path) -> list[ModelServerProcess]:
    return [server_of(tmp_path, number) for number in range(2)]


@pytest.fixture
def servers(processes: list[ModelServerProcess]) -> Iterator[ModelServers]:
    servers = ModelServers(processes)
    servers.start()
    yield servers
    servers.stop(kill_after_seconds=5)


def predict(server: ModelServerProcess, scans: int) -> None:
    client = PredictionClient(server.socket_path, slots=1, timeout_seconds=PATIENCE_SECONDS)
    for _ in range(scans):
        client.predict(np.full((400, 400), 50, np.float32))
    client.close()


def answered(servers: ModelServers) -> dict[str, float]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        servers.poll()
        try:
            return servers.counters(1.0)
        except ServiceUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_their_counters_add_up_also_when_one_is_started_again(
    servers: ModelServers, processes: list[ModelServerProcess]
) -> None:
    assert servers.wait_ready(PATIENCE_SECONDS).batch_size == 3
    predict(processes[0], 2)
    predict(processes[1], 5)
    before = servers.counters(1.0)
    assert processes[1].pid is not None
    os.kill(processes[1].pid, signal.SIGKILL)
    while not processes[1].restarts:
        servers.poll()
        time.sleep(0.05)
    assert answered(servers)["scans"] == before["scans"] == 7
    predict(processes[1], 1)
    assert answered(servers)["scans"] == 8
    assert (before["batch_size"], before["queue_length"], servers.restarts) == (4, 0, 1)


def test_each_sees_its_own_device_alone(servers: ModelServers, processes: list[ModelServerProcess]) -> None:
    servers.wait_ready(PATIENCE_SECONDS)
    seen = [Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") for process in processes]
    assert [f"CUDA_VISIBLE_DEVICES={number}".encode() in each for number, each in enumerate(seen)] == [True, True]


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_gpu_that_was_asked_for_is_not_replaced_by_the_cpu(
    lacking: int, processes: list[ModelServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_ready = processes[lacking].wait_ready
    monkeypatch.setattr(processes[lacking], "wait_ready", lambda seconds: replace(wait_ready(seconds), device="CPU"))
    servers = ModelServers(processes, wanted_gpus="0,9")
    servers.start()
    with pytest.raises(UsageError, match="PHOTOCHROM_DEVICES is '0,9', but TensorFlow does not find"):
        servers.wait_ready(PATIENCE_SECONDS)
    servers.stop(kill_after_seconds=5)


def test_a_cpu_has_one_model_server_however_many_gpus_there_seem_to_be(
    processes: list[ModelServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_ready = processes[0].wait_ready
    monkeypatch.setattr(processes[0], "wait_ready", lambda seconds: replace(wait_ready(seconds), device="CPU"))
    servers = ModelServers(processes, only_on_gpus=True)
    servers.start()
    servers.wait_ready(PATIENCE_SECONDS)
    assert (len(servers), processes[1].pid) == (1, None)
    servers.stop(kill_after_seconds=5)
