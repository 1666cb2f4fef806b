"""Commands about jobs as they are typed: retry, scans --key."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from db.migrations import upgrade
from db.queries.scans import records
from db.session import make_engine, read_scope
from tests.acceptance.command import photochrom_here
from tests.integration.scheduler.test_review import make_doubtful_job

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(sqlite_url: str, tmp_path: Path) -> Command:
    """Two jobs of the same scans: box/0.jpg to box/2.jpg are done, box/3.jpg is truncated."""
    engine = make_engine(sqlite_url)
    upgrade(engine)
    for _ in range(2):
        make_doubtful_job(engine)
    return lambda *words: photochrom_here(*words, folder=tmp_path, PHOTOCHROM_DATABASE_URL=sqlite_url)


@pytest.mark.parametrize(
    ("code", "hint"), [("truncate", "did you mean truncated?"), ("TRUNCATED", "docs/error-codes.md"), ("", "docs/")]
)
def test_a_retry_of_a_code_that_is_none_is_refused_with_the_nearest(command: Command, code: str, hint: str) -> None:
    refused = command("retry", "1", "--code", code)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{code!r} is not an error code" in refused.stderr
    assert hint in refused.stderr
    assert json.loads(command("status", "1", "--json").stdout)[0]["failed"] == 1


def test_a_retry_of_a_code_that_no_scan_has_says_so(command: Command) -> None:
    assert command("retry", "1", "--code", "empty").stdout == "0 scans of job 1 will be tried again\n"
    assert command("retry", "1", "--code", "truncated").stdout == "1 scan of job 1 will be tried again\n"


def test_the_history_of_a_scan_covers_all_jobs(command: Command, sqlite_url: str) -> None:
    with read_scope(make_engine(sqlite_url)) as session:
        scan = records.of_job(session, 1)[0]

    shown = command("scans", "--key", scan.output_key)

    lines = shown.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["1", "done"], ["2", "done"]]
    for place in (scan.source_key, scan.output_key):
        rows = json.loads(command("scans", "--key", place, "--json").stdout)
        assert [(row["job_id"], row["source_key"]) for row in rows] == [(1, scan.source_key), (2, scan.source_key)]
    assert len(json.loads(command("scans", "2", "--key", scan.source_key, "--json").stdout)) == 1


def test_a_whole_path_names_a_scan_too(command: Command) -> None:
    [first, second] = json.loads(command("status", "--json").stdout)

    of_source = json.loads(command("scans", "--key", f"{first['source']}/box/1.jpg", "--json").stdout)
    of_output = json.loads(command("scans", "--key", f"{first['destination']}/box/1.jpg", "--json").stdout)

    assert {row["job_id"] for row in of_source} == {first["job"], second["job"]}
    assert [row["job_id"] for row in of_output] == [first["job"]]  # each job has a destination of its own


def test_a_key_of_no_scan_is_refused(command: Command) -> None:
    refused = command("scans", "--key", "box/9.jpg")

    assert refused.returncode == 2
    assert "'box/9.jpg' is not a scan or output of any job" in refused.stderr
    assert "job 2" in command("scans", "2", "--key", "box/9.jpg").stderr
    assert "expected a job's number, or --key" in command("scans").stderr
    assert "no --state" in command("scans", "--key", "box/1.jpg", "--state", "done").stderr
