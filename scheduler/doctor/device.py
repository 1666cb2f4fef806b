"""The device that is to run the model; imported only where a worker is installed."""

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
    """A model server of the doctor's own starts, and predicts twice."""
    # Not below the usual temporary folder, whose path may be too long for a socket's.
    with tempfile.TemporaryDirectory(prefix="photochrom-doctor-", dir="/tmp") as folder:
        server = ModelServerProcess(
            Path(folder) / "model.sock",
            replace(settings.model_options, batch_wait_milliseconds=0),
            write=lambda line: None,
        )
        began = time.monotonic()
        server.start()
        try:
            yield from _of_the_server(server.wait_ready(READY_SECONDS), Path(folder) / "model.sock", began)
        finally:
            server.stop()


def _of_the_server(about: ServerInfo, socket_path: Path, began: float) -> Iterator[Finding]:
    ready = time.monotonic() - began
    client = PredictionClient(socket_path, slots=1, timeout_seconds=READY_SECONDS)
    lightness = np.full((400, 400), 50, np.float32)  # 0..100
    client.predict(lightness)
    milliseconds = client.predict(lightness).predict_ms
    client.close()
    yield Finding(
        "device",
        State.FINE,
        f"{about.device}, in {about.precision}: head {about.head}, embedding {about.embedding}, "
        f"ready after {ready:.0f} s, {milliseconds:.0f} ms for a batch of {about.batch_size}",
    )
    if Path("/dev/nvidia0").exists() and "GPU" not in about.device.upper():
        do = "install the CUDA libraries: pip install 'photochrom[gpu]'; then look at the driver with nvidia-smi"
        yield Finding("device", State.WRONG, f"there is an NVIDIA GPU, but the model runs on {about.device}", do)
