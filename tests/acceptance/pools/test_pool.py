"""A pool configured by settings alone: PostgreSQL, Valkey and S3 as services, a scheduler, and several workers."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.waiting import wait_until

SCAN_COUNT = 48
HOSTILE_KEYS = ["<script>alert(1)</script>.png", "=cmd('x').png", "a\u202egnp.png", "é ü 漢字/n 1.png"]


@pytest.fixture
def settings(valkey: ValkeyServer, s3_server: S3Server, postgresql_url: str) -> dict[str, str]:
    return {
        **s3_server.environment(),
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": postgresql_url,
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "300",
        "PHOTOCHROM_CHUNK_SCANS": "4",
        "PHOTOCHROM_CHILDREN": "1",
    }


@pytest.fixture
def scans(s3_server: S3Server, bucket: str) -> dict[str, bytes]:
    """The bytes of the scans in the bucket, by key."""
    noise = np.random.default_rng(7)
    keys = [f"box {number % 3}/{number:04}.png" for number in range(SCAN_COUNT - len(HOSTILE_KEYS))] + HOSTILE_KEYS
    stored = {}
    for key in keys:
        small = noise.integers(0, 256, (6, 8), dtype=np.uint8)
        stored[key] = bytes(cv2.imencode(".png", cv2.resize(small, (161, 120), interpolation=cv2.INTER_CUBIC))[1])
        s3_server.client().put_object(Bucket=bucket, Key=f"in/{key}", Body=stored[key])
    return stored


def wait_until_completed(command: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, object]:
    def job() -> dict[str, object]:
        return dict(json.loads(command("status", "1", "--json").stdout)[0])

    wait_until(lambda: job()["state"] == "completed")
    return job()


def test_two_workers_share_a_job_and_every_row_tells_what_lies_in_the_store(
    command: Callable[..., subprocess.CompletedProcess[str]],
    start: Callable[[str], subprocess.Popen[bytes]],
    scans: dict[str, bytes],
    s3_server: S3Server,
    bucket: str,
    tmp_path: Path,
) -> None:
    assert "revision" in command("db", "upgrade").stdout
    submitted = command("submit", f"s3://{bucket}/in", f"s3://{bucket}/out", "--format", "tiff")
    assert submitted.returncode == 0, submitted.stderr
    for name in ("worker", "worker", "scheduler"):
        start(name)

    job = wait_until_completed(command)

    assert (job["done"], job["failed"]) == (SCAN_COUNT, 0)
    rows = json.loads(command("scans", "1", "--json").stdout)
    assert {row["source_key"] for row in rows} == set(scans)
    assert len({row["worker"].partition("/")[0] for row in rows}) == 2
    for row in rows:
        source = scans[row["source_key"]]
        assert (row["source_bytes"], row["source_sha256"]) == (len(source), hashlib.sha256(source).hexdigest())
        key = f"out/{row['output_key']}"
        output = s3_server.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        assert (row["output_bytes"], row["output_sha256"]) == (len(output), hashlib.sha256(output).hexdigest())
        assert (row["width"], row["height"], row["bit_depth"]) == (161, 120, 8)
        stages = ("fetch", "open", "wait", "predict", "compose", "store")
        assert all(row[f"{stage}_ms"] >= 0 for stage in stages)
        assert row["checkpoint"]
        assert row["colourfulness"] > 0
    assert command("report", "1").returncode == 0
    assert "<script>alert(1)" not in (tmp_path / "photochrom-job-1.html").read_text()


def test_no_secret_reaches_a_log_a_report_or_the_command_line(
    command: Callable[..., subprocess.CompletedProcess[str]],
    start: Callable[[str], subprocess.Popen[bytes]],
    scans: dict[str, bytes],
    settings: dict[str, str],
    bucket: str,
    tmp_path: Path,
) -> None:
    broker_password = settings["PHOTOCHROM_BROKER_URL"].partition("@")[0].rpartition(":")[2]
    secrets = [settings["AWS_SECRET_ACCESS_KEY"], broker_password]
    said = [command("db", "upgrade"), command("submit", f"s3://{bucket}/in", f"s3://{bucket}/out")]
    start("worker")
    start("scheduler")
    wait_until_completed(command)
    said += [command("status"), command("scans", "1", "--csv", "scans.csv"), command("report", "1")]

    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]

    for text in [*written, *(each.stdout + each.stderr for each in said)]:
        assert not any(secret in text for secret in secrets)
