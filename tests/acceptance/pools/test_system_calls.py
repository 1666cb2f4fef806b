"""The system call filters of the systemd units: processes that run under them work, and are refused nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from scheduler.standalone.services import ValkeyServer
from tests.system_calls import is_possible
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
UNITS = {"scheduler": "photochrom-scheduler", "worker": "photochrom-worker@", "web": "photochrom-web"}

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs libseccomp, and systemd-analyze to read the filters")


def filtered(name: str) -> list[str]:
    """What starts a process under the filter of its unit."""
    unit = ROOT / "deploy" / "systemd" / f"{UNITS[name]}.service"
    return [sys.executable, str(ROOT / "tests" / "system_calls.py"), str(unit)]


@pytest.fixture
def settings(valkey: ValkeyServer, postgresql_url: str) -> dict[str, str]:
    """With PostgreSQL: as root, SQLite gives its files to their folder's owner, a call that the filter refuses."""
    return {
        "PYTHONPATH": str(ROOT),
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": postgresql_url,
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "20",
        "PHOTOCHROM_CHILDREN": "1",
        "PHOTOCHROM_WEB_PORT": "0",
    }


def test_a_job_is_coloured_and_reported_under_the_filters(
    command: Callable[..., subprocess.CompletedProcess[str]],
    start: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    (tmp_path / "scans").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "scans" / f"{number}.tif"), np.full((30, 40), 10 * number + 20, np.uint8))
    command("db", "upgrade")
    command("submit", str(tmp_path / "scans"), str(tmp_path / "colour"))
    processes = [start(name, filtered(name)) for name in UNITS]

    wait_until(lambda: json.loads(command("status", "1", "--json").stdout)[0]["state"] == "completed")
    wait_until(lambda: any((tmp_path / "colour").glob("photochrom-reports/*.html")))
    wait_until(lambda: "http://" in (tmp_path / "web.log").read_text())
    for process in processes:
        process.terminate()

    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert json.loads(command("status", "1", "--json").stdout)[0]["done"] == 4


def test_a_call_outside_the_filter_ends_the_process() -> None:
    refused = subprocess.run(
        [*filtered("worker"), sys.executable, "-c", "import os; os.chroot('/')"], env={"PYTHONPATH": str(ROOT)}
    )
    assert refused.returncode < 0
