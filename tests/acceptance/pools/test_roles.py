"""A pool without the database's owner: a scheduler and a worker with the roles in deploy/postgresql."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from db.migrations import upgrade
from db.session import make_engine
from scheduler.standalone.services import ValkeyServer
from tests.roles import url_as
from tests.waiting import wait_until

SCANS = 12


@pytest.fixture
def settings(valkey: ValkeyServer, postgresql_url: str) -> dict[str, str]:
    """As a scheduler and a person who submits have them."""
    owner = make_engine(postgresql_url)
    upgrade(owner)
    owner.dispose()
    return {
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": url_as("schedulers.sql", postgresql_url),
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "20",
        "PHOTOCHROM_CHUNK_SCANS": "4",
        "PHOTOCHROM_CHILDREN": "1",
        "PHOTOCHROM_SCAN_ATTEMPTS": "1",
    }


def test_a_worker_with_the_least_rights_finishes_a_job(
    command: Callable[..., subprocess.CompletedProcess[str]],
    start: Callable[..., subprocess.Popen[bytes]],
    postgresql_url: str,
    tmp_path: Path,
) -> None:
    source = tmp_path / "scans"
    source.mkdir()
    for number in range(SCANS):
        cv2.imwrite(str(source / f"{number}.png"), np.full((30, 40), 10 * number + 20, np.uint8))
    (source / "broken.png").write_bytes((source / "0.png").read_bytes()[:-20])
    submitted = command("submit", str(source), str(tmp_path / "colour"))
    assert submitted.returncode == 0, submitted.stderr
    worker = start("worker", PHOTOCHROM_DATABASE_URL=url_as("workers.sql", postgresql_url))
    start("scheduler")

    wait_until(lambda: json.loads(command("status", "1", "--json").stdout)[0]["state"] == "completed")
    worker.terminate()

    assert worker.wait(60) == 0
    [job] = json.loads(command("status", "1", "--json").stdout)
    assert (job["done"], job["failed"]) == (SCANS, 1)
    assert "lacks" not in (tmp_path / "worker.log").read_text()
    assert "lacks" not in (tmp_path / "scheduler.log").read_text()
    [row] = json.loads(command("status", "--workers", "--json").stdout)
    assert row["state"] == "stopped", "the worker signed off"
