"""Several machines: a scheduler on one, workers on others, and services that all of them reach by address alone."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.acceptance.command import clean_environment, photochrom, photochrom_process
from tests.machines import Forwarder, Machine, can_make_machines
from tests.services import PostgreSQLServer
from tests.waiting import PATIENCE_SECONDS, wait_until

SCANS = 64  # so many that some are left when a slow machine has answered the first question
PORT = "9808"  # the same for all, because each machine has its own network
NAMES = ("desk", "first", "second")

pytestmark = pytest.mark.skipif(
    not can_make_machines(), reason="needs root, iproute2 and network namespaces to make machines of its own"
)


@pytest.fixture
def machines(
    valkey: ValkeyServer, s3_server: S3Server, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> Iterator[dict[str, Machine]]:
    """The machines by name. Each reaches the services at its gateway."""
    with ExitStack() as opening:
        made = {name: opening.enter_context(Machine(name, tmp_path / name)) for name in NAMES}
        for machine in made.values():
            for service in (valkey, s3_server, postgresql_server):
                opening.enter_context(Forwarder(machine.gateway, service.port))
        yield made


@pytest.fixture
def settings(
    machines: dict[str, Machine], valkey: ValkeyServer, s3_server: S3Server, postgresql_url: str
) -> Callable[[str], dict[str, str]]:
    """The settings of each machine, which differ only in the address of the services."""
    shared = {
        **s3_server.environment(),
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": postgresql_url,
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "400",
        "PHOTOCHROM_CHUNK_SCANS": "2",
        "PHOTOCHROM_CHILDREN": "1",
        "PHOTOCHROM_METRICS_PORT": PORT,
    }

    def of(name: str) -> dict[str, str]:
        own = {key: value.replace("127.0.0.1", machines[name].gateway) for key, value in shared.items()}
        return clean_environment(**own, **machines[name].environment())

    return of


@pytest.fixture
def on(
    machines: dict[str, Machine], settings: Callable[[str], dict[str, str]], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command on a machine."""
    return lambda name, *arguments: photochrom(
        *arguments, folder=tmp_path, prefix=machines[name].prefix, environment=settings(name)
    )


def test_a_second_machine_helps_on_a_running_job_and_is_drained(
    machines: dict[str, Machine],
    settings: Callable[[str], dict[str, str]],
    on: Callable[..., subprocess.CompletedProcess[str]],
    s3_server: S3Server,
    bucket: str,
    tmp_path: Path,
) -> None:
    png = bytes(cv2.imencode(".png", np.random.default_rng(7).integers(0, 256, (60, 80), dtype=np.uint8))[1])
    for number in range(SCANS):
        s3_server.client().put_object(Bucket=bucket, Key=f"in/{number}.png", Body=png)

    def job() -> dict[str, object]:
        return dict(json.loads(on("desk", "status", "1", "--json").stdout)[0])

    with ExitStack() as running:

        def start(process: str, name: str) -> subprocess.Popen[bytes]:
            machines[name].folder.mkdir(exist_ok=True)
            prefix = machines[name].prefix
            return running.enter_context(
                photochrom_process(process, machines[name].folder, settings(name), prefix=prefix)
            )

        assert on("desk", "db", "upgrade").returncode == 0
        start("scheduler", "desk")
        submitted = on("desk", "submit", f"s3://{bucket}/in", f"s3://{bucket}/out")
        assert submitted.returncode == 0, submitted.stderr
        first = start("worker", "first")
        wait_until(lambda: int(str(job()["done"])) > 0)
        assert on("desk", "pause", "1").returncode == 0  # so that work is left for the second one
        start("worker", "second")
        wait_until(lambda: len(json.loads(on("desk", "status", "--workers", "--json").stdout)) == 2)
        assert on("second", "health").stdout == "ok\n"
        assert on("desk", "resume", "1").returncode == 0
        wait_until(lambda: "second-" in on("desk", "scans", "1", "--state", "done", "--json").stdout)
        first.terminate()
        assert first.wait(PATIENCE_SECONDS) == 0
        wait_until(lambda: job()["state"] == "completed")

    rows = json.loads(on("desk", "scans", "1", "--json").stdout)
    assert [row["state"] for row in rows] == ["done"] * SCANS
    assert {row["worker"].partition("-")[0] for row in rows} == {"first", "second"}
    stored = s3_server.client().list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
    assert len([each for each in stored if each["Key"].endswith(".png")]) == SCANS
