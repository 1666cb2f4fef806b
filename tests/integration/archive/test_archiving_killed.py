"""`photochrom jobs archive` is killed at any moment: nothing is lost, and a later call completes the archive."""

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from db.clock import database_now, utc_now
from db.models.archives import ArchivedScan, ArchiveState, JobArchive
from db.models.jobs import Job, Scan
from db.queries.archives import progress
from db.session import read_scope, session_scope
from scheduler.archive.files import count_rows
from tests.acceptance.command import clean_environment, photochrom_here
from tests.integration.archive.conftest import Collection

KEYS = [f"box 1/{number:04}.tif" for number in range(1200)]
KILLS = 4


def test_killed_at_any_moment_no_scan_is_lost(collection: Collection, database_url: str) -> None:
    job_id, dice, states = collection.job(KEYS), random.Random(21), set[str]()
    settings = {"PHOTOCHROM_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "scheduler", "jobs", "archive", str(job_id), "--rest", "10"]
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, env=clean_environment(**settings), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        _wait_until_at_work(collection, job_id, process)
        time.sleep(dice.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        states.add(_expect_nothing_lost(collection, job_id))
    if ArchiveState.DONE not in states:
        ended = photochrom_here("jobs", "archive", job_id, "--rest", "0", folder=collection.folder, **settings)
        assert ended.returncode == 0, ended.stderr
    assert _expect_nothing_lost(collection, job_id) == ArchiveState.DONE


def _wait_until_at_work(collection: Collection, job_id: int, process: "subprocess.Popen[str]") -> None:
    before = _attempt(collection, job_id)
    deadline = time.monotonic() + 60
    while _attempt(collection, job_id) == before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _attempt(collection: Collection, job_id: int) -> int | None:
    with read_scope(collection.engine) as session:
        return session.scalar(select(JobArchive.attempt).where(JobArchive.job_id == job_id))


def _expect_nothing_lost(collection: Collection, job_id: int) -> str:
    """Check the rows, and return the archive's state. Date its last step back, so that the next call need not wait."""
    with session_scope(collection.engine) as session:
        live = session.scalar(select(func.count()).select_from(Scan).where(Scan.job_id == job_id)) or 0
        archived = session.scalar(select(func.count()).select_from(ArchivedScan)) or 0
        archive = session.get_one(JobArchive, job_id)
        archive.touched_at -= timedelta(minutes=2)
    assert live + archived == len(KEYS)
    if archived:
        [path] = [path for path in collection.folder.rglob("*.parquet") if "-sources" not in path.name][-1:]
        assert count_rows(path) == len(KEYS)
    return archive.state


def test_two_at_once_do_not_both_archive(collection: Collection, database_url: str) -> None:
    job_id = collection.job(KEYS[:12])
    settings = {"PHOTOCHROM_DATABASE_URL": database_url}
    with session_scope(collection.engine) as session:
        progress.begin(session, job_id, now=database_now(session))

    second = photochrom_here("jobs", "archive", job_id, folder=collection.folder, **settings)

    assert second.returncode == 2
    assert "another process is at work on job 1" in second.stderr


@pytest.mark.parametrize("text", ["1", "y", "1 y", "-1y", "0d", "1h", "9999999y"])
def test_an_age_is_a_number_and_a_unit(collection: Collection, database_url: str, text: str) -> None:
    refused = photochrom_here(
        "jobs", "archive", f"--older-than={text}", folder=collection.folder, PHOTOCHROM_DATABASE_URL=database_url
    )

    assert refused.returncode == 2
    assert "is not an age; expected a number and d, w, m or y" in refused.stderr


def test_old_jobs_are_archived_by_age_and_each_is_named(collection: Collection, database_url: str) -> None:
    for number in range(2):
        collection.job(KEYS[number * 3 : number * 3 + 3])
    collection.job(KEYS[6:9], options={"bag": True})
    with session_scope(collection.engine) as session:
        session.get_one(Job, 1).destination = str(collection.folder / "gone")
    settings = {"PHOTOCHROM_DATABASE_URL": database_url}

    kept = photochrom_here("jobs", "archive", "--older-than", "900y", folder=collection.folder, **settings)
    assert (kept.returncode, kept.stdout) == (0, "")
    ran = photochrom_here("jobs", "archive", "--older-than", "1d", folder=collection.folder, **settings)

    assert ran.returncode == 1
    assert "gone is not a folder" in ran.stdout
    assert "in the bag of job 3" in ran.stdout
    key = photochrom_here("scans", "--key", KEYS[1], folder=collection.folder, **settings)
    assert KEYS[1] in key.stdout


def test_a_job_is_deleted_when_somebody_says_yes(collection: Collection, database_url: str) -> None:
    for number in range(2):
        collection.job(KEYS[number * 3 : number * 3 + 3])
    settings = {"PHOTOCHROM_DATABASE_URL": database_url}

    deleted = photochrom_here("jobs", "delete", 1, "--yes", folder=collection.folder, **settings)

    assert deleted.stdout == "job 1 is deleted, with 3 scans\n", deleted.stderr
    missing = photochrom_here("jobs", "delete", 1, "--yes", folder=collection.folder, **settings)
    assert missing.returncode == 2
    assert "job 1 is not in the database" in missing.stderr


def test_old_jobs_are_deleted_by_age_archived_ones_too_and_a_refused_one_holds_up_no_other(
    collection: Collection, database_url: str
) -> None:
    accepted, archived, plain = (collection.job(KEYS[number * 3 : number * 3 + 3]) for number in range(3))
    collection.accept(accepted, KEYS[0])
    collection.archiver().archive(archived)
    collection.job(KEYS[9:10], at=utc_now())
    settings = {"PHOTOCHROM_DATABASE_URL": database_url}

    ran = photochrom_here("jobs", "delete", "--older-than", "1d", "--yes", folder=collection.folder, **settings)

    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.splitlines()[0].startswith(f"people accepted outputs of job {accepted}")
    assert ran.stdout.splitlines()[1:] == [
        f"job {archived} is deleted, with 0 scans",
        f"job {plain} is deleted, with 3 scans",
    ]
