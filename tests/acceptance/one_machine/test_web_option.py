"""`--web` of `run` and `demo`: the pages' address is printed, they answer, and they end with the command."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.acceptance.command import clean_environment
from tests.acceptance.one_machine.test_run import STAND_IN, write_scan
from tests.processes import MARK, new_mark, survivors
from tests.waiting import PATIENCE_SECONDS, wait_until

PAGES = re.compile(r"[Pp]ages: (http://127\.0\.0\.1:\d+)")


@pytest.fixture
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "demo":
        return ["demo", "--web"]
    for number in range(4):
        write_scan(tmp_path / "scans" / f"{number}.png", number)
    return ["run", "scans", "colour", "--web"]


@pytest.mark.parametrize("command", ["run", "demo"], indirect=True)
def test_the_pages_are_printed_answer_and_end_with_the_command(command: list[str], tmp_path: Path) -> None:
    mark, log = new_mark(), tmp_path / "printed"
    settings = STAND_IN if command[0] == "run" else {}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scheduler", *command],
            cwd=tmp_path,
            env=clean_environment(**settings, **{MARK: mark}),
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: PAGES.search(log.read_text()) or process.poll() is not None)
        printed = PAGES.search(log.read_text())
        assert printed, log.read_text()
        with httpx.Client(base_url=printed[1], timeout=60) as client:
            wait_until(lambda: answers(client))
            wait_for_its_end(process, log)
            [job] = client.get("/api/v1/jobs").json()["jobs"]
            assert job["state"] == "completed", log.read_text()
            assert client.get("/jobs/1").status_code == 200
            assert client.get("/jobs/1/scans/1/after/small.jpg").status_code == 200
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_SECONDS)
            assert not answers(client)
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
    assert survivors(mark) == []


def wait_for_its_end(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until its job has ended. The demo's job takes as long as in test_demo.py."""
    deadline = time.monotonic() + 3 * PATIENCE_SECONDS
    while "stay open" not in log.read_text() and process.poll() is None:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False
