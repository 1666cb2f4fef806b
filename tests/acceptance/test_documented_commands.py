"""The commands in README.md and docs/ are run page by page, on real services.

They are run as they stand there, except for addresses, passwords, ports and the keys of scans, which are those of the
tests. `documents.ELSEWHERE` lists the commands that are not run here, and why.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from scheduler.standalone.services import S3Server, ValkeyServer
from scheduler.standalone.services.service import free_port
from tests.acceptance.command import clean_environment, photochrom, photochrom_process
from tests.acceptance.documents import ELSEWHERE, ROOT, commands, elsewhere, pages, script

# Pages whose commands need a pool that runs already. On the other pages, the commands start what they need.
ON_A_POOL = ("docs/collections.md", "docs/nightly.md")
PATIENCE_SECONDS = 500  # a page takes a minute on a machine that does nothing else
ON_THEIR_OWN = ("README.md", "docs/operate.md", "docs/research.md")


@pytest.fixture
def machine(valkey: ValkeyServer, s3_server: S3Server, bucket: str, postgresql_url: str, tmp_path: Path) -> "Machine":
    """A machine that runs the commands, with `photochrom` in its path, a home folder, and scans in the bucket."""
    png = bytes(cv2.imencode(".png", np.random.default_rng(7).integers(0, 256, (60, 80), dtype=np.uint8))[1])
    # There are enough negatives that their job still runs when the pages pause, resume and cancel it.
    for key in [f"glass-plates/{number}.png" for number in range(2)] + [
        f"negatives/{number}.png" for number in range(60)
    ]:
        s3_server.client().put_object(Bucket=bucket, Key=f"archive/{key}", Body=png)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "1.png").write_bytes(png)
    places = {
        "redis://:password@broker:6379/0": valkey.url,
        "postgresql://photochrom:password@database/photochrom": postgresql_url.replace("+psycopg", ""),
        "https://s3.example.org": s3_server.endpoint_url,
        **{f"{name}=...": f"{name}={value}" for name, value in s3_server.environment().items()},
        "s3://archive-colour/": f"s3://{bucket}/colour/",
        "box/0012.tif": "0.png",
        "box/0013.tif": "1.png",
        "--checkpoint ID": "--checkpoint stand-in",
        "s3://archive/": f"s3://{bucket}/archive/",
        **{str(port): str(free_port()) for port in (9808, 9809)},
    }
    settings = {
        **s3_server.environment(),
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "2000",
        "PHOTOCHROM_CHILDREN": "1",
        "PHOTOCHROM_CHUNK_SCANS": "1",
    }
    pool = {"PHOTOCHROM_BROKER_URL": valkey.url, "PHOTOCHROM_DATABASE_URL": postgresql_url}
    return Machine(tmp_path, places, settings, pool)


class Machine:
    def __init__(self, folder: Path, places: dict[str, str], settings: dict[str, str], pool: dict[str, str]) -> None:
        self._folder, self._places, self._settings, self._pool = folder, places, settings, pool
        for name in ("bin", ".venv/bin"):
            (folder / name).mkdir(parents=True)
            (folder / name / "photochrom").write_text(_PHOTOCHROM.format(python=sys.executable))
            (folder / name / "photochrom").chmod(0o755)

    def run(self, page: str, *, pool: bool) -> subprocess.CompletedProcess[str]:
        environment = clean_environment(**self._settings, **(self._pool if pool else {}))
        environment |= {"HOME": str(self._folder), "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run(
            ["timeout", str(PATIENCE_SECONDS), "bash", "-c", script(ROOT / page, self._places)],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def start_pool(self, running: ExitStack) -> None:
        settings = {**self._settings, **self._pool}
        assert photochrom("db", "upgrade", folder=self._folder, **settings).returncode == 0
        for name in ("scheduler", "worker"):
            running.enter_context(photochrom_process(name, self._folder, clean_environment(**settings)))


# The doctor must see the model itself; all other commands use a quick stand-in. PHOTOCHROM_PARENT_PID ends the
# processes with the test, however it ends.
_PHOTOCHROM = """\
#!/bin/sh
[ "$1" = doctor ] && unset PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS
PHOTOCHROM_PARENT_PID=$PPID exec {python} -P -m scheduler "$@"
"""


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_what_they_say_to_whoever_has_a_collection_or_a_night(machine: Machine, running: ExitStack) -> None:
    machine.start_pool(running)
    for page in ON_A_POOL:
        ran = machine.run(page, pool=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "plates" in ran.stdout


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
@pytest.mark.parametrize("page", ON_THEIR_OWN)
def test_what_they_say_to_everyone_else(machine: Machine, page: str) -> None:
    ran = machine.run(page, pool=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_no_page_and_no_command_is_left_out() -> None:
    run_here = {ROOT / page for page in (*ON_A_POOL, *ON_THEIR_OWN)}
    for page in pages():
        left_out = [command for command in commands(page) if not elsewhere(command)]
        assert page in run_here or not left_out, f"{page} is in no test: {left_out}"


def test_what_is_run_elsewhere_is() -> None:
    for where in ELSEWHERE.values():
        for name in re.findall(r"tests/[\w/.]+", where):
            assert (ROOT / name).exists(), name
    every = [command for page in pages() for command in commands(page)]
    for pattern in ELSEWHERE:
        assert any(re.match(pattern, command) for command in every), pattern
