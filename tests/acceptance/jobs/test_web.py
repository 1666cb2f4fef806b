"""`photochrom web` as a process."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from db.migrations import upgrade
from db.session import make_engine
from tests.acceptance.command import clean_environment, photochrom
from tests.acceptance.documents import ROOT
from tests.integration.scheduler.test_review import make_doubtful_job


@pytest.fixture
def database(sqlite_url: str) -> str:
    upgrade(make_engine(sqlite_url))
    return sqlite_url


@contextmanager
def served(database: str, folder: Path, **settings: str) -> Iterator[str]:
    """Run `photochrom web`, and yield the address that it prints."""
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


def test_pages_without_accounts_are_not_served_to_a_network(database: str, tmp_path: Path) -> None:
    refused = photochrom(
        "web",
        folder=tmp_path,
        PHOTOCHROM_DATABASE_URL=database,
        PHOTOCHROM_WEB_ADDRESS="0.0.0.0",
        PHOTOCHROM_WEB_PORT="0",
    )

    assert refused.returncode == 2
    assert "photochrom users add NAME --role operator" in refused.stderr


def test_an_address_that_is_taken_is_named_in_the_error(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path) as address:
        port = address.rpartition(":")[2]
        refused = photochrom("web", folder=tmp_path, PHOTOCHROM_DATABASE_URL=database, PHOTOCHROM_WEB_PORT=port)

    assert refused.returncode == 2
    assert "PHOTOCHROM_WEB_PORT" in refused.stderr


def test_the_examples_of_the_api_s_page_work(database: str, tmp_path: Path) -> None:
    for place in ("scans/box-0042/1.png", "colour/none"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 20)).save(tmp_path / "scans/box-0042/1.png")
    make_doubtful_job(make_engine(database))
    page = (ROOT / "docs/api.md").read_text("utf-8")
    blocks = re.findall(r"(?ms)^```(sh|python)\n(.*?)^```$", page)
    with served(database, tmp_path) as address:
        places = {"PHOTOCHROM": address, "SCANS": str(tmp_path / "scans"), "COLOUR": str(tmp_path / "colour")}
        bin_folder = str(Path(sys.executable).parent)
        environment = clean_environment(PHOTOCHROM_DATABASE_URL=database, **places)
        environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
        outputs = []
        for language, code in [*blocks, blocks[-1]]:
            command = ["bash", "-ec", code] if language == "sh" else [sys.executable, "-c", code]
            run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert run.returncode == 0, code + run.stdout + run.stderr
            outputs.append(run.stdout)

    assert '"truncated"' in outputs[1]
    assert outputs[2] == "2 doubtful\n"
    assert outputs[3] == outputs[4]
    assert '"job_id":2' in outputs[3]


def test_accounts_are_made_listed_and_removed_by_command(database: str, tmp_path: Path) -> None:
    def users(*arguments: str) -> tuple[int, str]:
        run = photochrom("users", *arguments, folder=tmp_path, PHOTOCHROM_DATABASE_URL=database)
        return run.returncode, run.stdout + run.stderr

    assert users("add", "ada", "--role", "reviewer", "--no-password") == (0, "account ada is a reviewer\n")
    assert users("add", "ada", "--no-password")[0] == 2
    assert users("token", "ada", "--label", "x", "--role", "operator")[0] == 2
    assert "photochrom_" in users("token", "ada", "--label", "x")[1]
    assert "ada" in users("list")[1]
    assert "photochrom_" not in users("tokens")[1]
    assert users("revoke", "1") == (0, "token 1 is revoked\n")
    assert users("remove", "ada") == (0, "account ada is removed\n")
