"""The device that runs the model. This module is imported only if a worker is installed."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from scheduler.doctor.finding import Finding, State
from worker.inference.client import PredictionClient
from worker.inference.connection import ServerInfo
from worker.settings.settings import Settings
from worker.supervision.model_server_process import ModelServerProcess

READY_SECONDS = 300.0


def device(settings: Settings) -> Iterator[Finding]:
    """Start a model server for this check, and predict twice."""
    # Not in the usual temporary folder, whose path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="photochrom-doctor-", dir="/tmp") as folder:
        server = ModelServerProcess(
            Path(folder) / "model.sock",
            replace(settings.model_options, batch_wait_milliseconds=0),
            write=lambda line: None,
        )
        began = time.monotonic()
        server.start()
        try:
            yield from _predict_twice(server.wait_ready(READY_SECONDS), Path(folder) / "model.sock", began)
        finally:
            server.stop()


def _predict_twice(info: ServerInfo, socket_path: Path, began: float) -> Iterator[Finding]:
    ready = time.monotonic() - began
    client = PredictionClient(socket_path, slots=1, timeout_seconds=READY_SECONDS)
    lightness = np.full((400, 400), 50, np.float32)  # 0..100
    client.predict(lightness)
    milliseconds = client.predict(lightness).predict_ms
    client.close()
    yield Finding(
        "device",
        State.FINE,
        f"{info.device}, in {info.precision}: head {info.head}, embedding {info.embedding}, "
        f"ready after {ready:.0f} s, {milliseconds:.0f} ms for a batch of {info.batch_size}",
    )
    if Path("/dev/nvidia0").exists() and "GPU" not in info.device.upper():
        remedy = "install the CUDA libraries: pip install 'photochrom[gpu]'; then look at the driver with nvidia-smi"
        yield Finding("device", State.WRONG, f"there is an NVIDIA GPU, but the model runs on {info.device}", remedy)
