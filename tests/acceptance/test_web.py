"""`photochrom web` as a process."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from db.migrations import upgrade
from db.session import make_engine
from tests.acceptance.command import clean_environment, photochrom


@pytest.fixture
def database(sqlite_url: str) -> str:
    upgrade(make_engine(sqlite_url))
    return sqlite_url


@contextmanager
def served(database: str, folder: Path, **settings: str) -> Iterator[str]:
    """The address that it prints."""
    environment = clean_environment(PHOTOCHROM_DATABASE_URL=database, PHOTOCHROM_WEB_PORT="0", **settings)
    command = [sys.executable, "-P", "-m", "scheduler", "web"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"photochrom web: (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_it_prints_its_address_serves_pages_there_and_ends_when_told_to(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path) as address, httpx.Client(base_url=address) as client:
        assert client.get("/jobs").status_code == 200
        assert client.get("/live").text == "ok\n"
        assert client.get("/ready").text == "ok\n"


def test_it_does_not_serve_a_network_to_anybody(database: str, tmp_path: Path) -> None:
    refused = photochrom(
        "web",
        folder=tmp_path,
        PHOTOCHROM_DATABASE_URL=database,
        PHOTOCHROM_WEB_ADDRESS="0.0.0.0",
        PHOTOCHROM_WEB_PORT="0",
    )

    assert refused.returncode == 2
    assert "photochrom users add NAME --role operator" in refused.stderr


def test_an_address_that_is_taken_is_said_so(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path) as address:
        port = address.rpartition(":")[2]
        refused = photochrom("web", folder=tmp_path, PHOTOCHROM_DATABASE_URL=database, PHOTOCHROM_WEB_PORT=port)

    assert refused.returncode == 2
    assert "PHOTOCHROM_WEB_PORT" in refused.stderr
