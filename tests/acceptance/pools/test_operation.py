"""What an operator sees of a running pool: metrics, health, `status --workers`, JSON logs, the doctor."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scheduler.standalone.services import S3Server, ValkeyServer
from scheduler.standalone.services.service import free_port
from tests.acceptance.command import clean_environment, photochrom, photochrom_process
from tests.programs import PROMETHEUS, PROMTOOL
from tests.prometheus import PrometheusServer, dashboard_queries, documented_queries
from tests.waiting import PATIENCE_SECONDS, wait_until

Command = Callable[..., subprocess.CompletedProcess[str]]
SCANS = 12


@pytest.fixture
def settings(valkey: ValkeyServer, s3_server: S3Server, bucket: str, postgresql_url: str) -> dict[str, str]:
    noise = np.random.default_rng(7)
    for number in range(SCANS):
        scan = cv2.imencode(".png", noise.integers(0, 256, (60, 80), dtype=np.uint8))[1]
        s3_server.client().put_object(Bucket=bucket, Key=f"in/{number}.png", Body=bytes(scan))
    s3_server.client().put_object(Bucket=bucket, Key="in/torn.png", Body=bytes(scan)[:900])
    return {
        **s3_server.environment(),
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": postgresql_url,
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "50",
        "PHOTOCHROM_CHILDREN": "1",
        "PHOTOCHROM_RECORD_SECONDS": "0.5",
        "PHOTOCHROM_HEARTBEAT_SECONDS": "0.5",
        "PHOTOCHROM_LOG_FORMAT": "json",
    }


@pytest.fixture
def command(settings: dict[str, str], tmp_path: Path) -> Command:
    return lambda *arguments, **more: photochrom(*arguments, folder=tmp_path, **{**settings, **more})


@pytest.fixture
def ports(command: Command, settings: dict[str, str], bucket: str, tmp_path: Path) -> Iterator[dict[str, int]]:
    """The ports of Flower and of the metrics of a scheduler and a worker that have finished a job."""
    command("db", "upgrade")
    command("submit", f"s3://{bucket}/in", f"s3://{bucket}/out")
    with ExitStack() as running:
        ports = {name: free_port() for name in ("scheduler", "worker")}
        flower = free_port()
        running.enter_context(start_flower(flower, tmp_path, clean_environment(**settings)))
        for name, port in ports.items():
            environment = clean_environment(**settings, PHOTOCHROM_METRICS_PORT=str(port))
            running.enter_context(photochrom_process(name, tmp_path, environment))
        wait_until(lambda: json.loads(command("status", "1", "--json").stdout)[0]["state"] == "completed")
        wait_until(lambda: is_reported(command, ports))
        yield {**ports, "flower": flower}
    for name in ports:
        for line in (tmp_path / f"{name}.log").read_text().splitlines():
            json.loads(line)  # every line must be JSON, because programs read the log


def is_reported(command: Command, ports: dict[str, int]) -> bool:
    """Whether the heartbeats and the backlog metrics have reported everything that the job did."""
    workers = json.loads(command("status", "--workers", "--json").stdout)
    return (
        [worker["ended_scans"] for worker in workers] == [SCANS + 1]
        and f'photochrom_scans_total{{state="done"}} {SCANS}.0' in metrics(ports["worker"])
        and "photochrom_workers 1.0" in metrics(ports["scheduler"])
    )


@contextmanager
def start_flower(port: int, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Start Flower as docs/operate.md says, but open its API, which Flower closes when there is no password."""
    command = [sys.executable, "-P", "-m", "celery", "--app", "photochrom.celery_app", "flower"]
    with (folder / "flower.log").open("ab") as log:
        flower = subprocess.Popen(
            [*command, "--address=127.0.0.1", f"--port={port}"],
            cwd=folder,
            env={**environment, "FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: ask(port, "api/workers") is not None)
        yield
    finally:
        flower.terminate()
        flower.wait(PATIENCE_SECONDS)


def ask(port: int, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_an_operator_sees_what_the_pool_did(
    ports: dict[str, int], command: Command, settings: dict[str, str], tmp_path: Path
) -> None:
    exposed = metrics(ports["worker"])
    assert f'photochrom_scans_total{{state="done"}} {SCANS}.0' in exposed
    assert 'photochrom_scan_errors_total{code="truncated"} 1.0' in exposed
    assert f'photochrom_stage_seconds_count{{stage="store"}} {SCANS}.0' in exposed
    assert 'device="stand-in"' in exposed
    assert "photochrom_workers 1.0" in metrics(ports["scheduler"])
    check_with_promtool(exposed + metrics(ports["scheduler"]))

    [worker] = json.loads(command("status", "--workers", "--json").stdout)
    assert (worker["ended_scans"], worker["failed_scans"], worker["state"]) == (SCANS + 1, 1, "at work")
    assert 0 < worker["device_busy_share"] < 1
    assert 0 < worker["batch_fill"] <= 1
    assert all(worker[f"{stage}_ms"] >= 0 for stage in ("fetch", "open", "wait", "predict", "compose", "store"))
    assert "device busy" in command("status", "--workers").stdout
    tasks = ask(ports["flower"], "api/tasks").values()
    assert [(task["name"], task["state"]) for task in tasks] == [("photochrom.colorize_chunk", "SUCCESS")]
    assert f"celery@{worker['name']}" in ask(ports["flower"], "api/workers?refresh=1")
    for port in (ports["scheduler"], ports["worker"]):
        assert command("health", PHOTOCHROM_METRICS_PORT=str(port)).stdout == "ok\n"

    lines = [json.loads(line) for line in (tmp_path / "worker.log").read_text().splitlines()]
    [torn] = [line for line in lines if "torn.png" in line["message"]]
    assert {torn["job"], torn["chunk"]} == {1}
    assert torn["scan"] > 0
    assert torn["worker"] == worker["name"]
    assert not any("superuser" in line["message"] for line in lines)


@pytest.mark.skipif(PROMETHEUS.path() is None, reason=PROMETHEUS.absence)
def test_prometheus_answers_every_query_and_tells_of_a_night_that_failed(
    ports: dict[str, int], command: Command, tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "1.png").touch()
    command("schedule", "add", "plates", tmp_path / "scans", tmp_path / "colour", "--cron", "0 1 * * *")
    shutil.rmtree(tmp_path / "scans")
    assert command("schedule", "run", "plates").returncode == 2
    assert "photochrom schedule run plates" in command("doctor", "--no-model").stdout

    with PrometheusServer(tmp_path / "prometheus", ports) as prometheus:
        for query in dashboard_queries() + documented_queries():
            prometheus.wait_for(query)
        [alert] = prometheus.wait_for('ALERTS{alertname="PhotochromScheduleFailed", alertstate="firing"}')
        assert alert["metric"]["schedule"] == "plates"
        rules = prometheus.rules()
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == ["PhotochromScheduleFailed"]


def check_with_promtool(exposed: str) -> None:
    """Check with Prometheus' own linter, if Debian's package prometheus is installed."""
    if promtool := PROMTOOL.path():
        ours = "".join(line + "\n" for line in exposed.splitlines() if "photochrom_" in line)
        checked = subprocess.run([promtool, "check", "metrics"], input=ours, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_doctor_finds_nothing_wrong_where_nothing_is(command: Command, bucket: str, s3_server: S3Server) -> None:
    command("db", "upgrade")
    where = ("--source", f"s3://{bucket}/in", "--destination", f"s3://{bucket}/out")

    looked = command("doctor", *where, "--json")

    found = {(each["what"], each["said"]): each["state"] for each in json.loads(looked.stdout)}
    wrong = {what for (what, _), state in found.items() if state == "wrong"}
    assert wrong == {"checkpoint"}, found  # a stand-in is no model
    assert {"database", "broker", "source", "destination", "scratch", "device"} <= {what for what, _ in found}
    left = s3_server.client().list_objects_v2(Bucket=bucket, Prefix="out/")
    assert "Contents" not in left


def test_the_doctor_names_what_is_away_and_what_to_do(command: Command, bucket: str) -> None:
    looked = command(
        "doctor",
        "--no-model",
        *("--source", "s3://no-such-bucket/in"),
        PHOTOCHROM_BROKER_URL="redis://:hunter2@127.0.0.1:9/0",
        PHOTOCHROM_CHILDREN="500",
    )

    assert looked.returncode == 3
    for said in ("127.0.0.1:9", "run: photochrom db upgrade", "no-such-bucket", "set PHOTOCHROM_CHILDREN="):
        assert said in looked.stdout
    assert "hunter2" not in looked.stdout + looked.stderr
