"""A scheduler that is killed with SIGKILL while it lists a source in the background, and the one that takes it over."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from db.clock import utc_now
from db.models.jobs import Chunk, Job, JobState, Scan
from db.models.outputs import OutputClaim
from db.models.pool import Scheduler
from db.session import read_scope, session_scope
from scheduler.standalone.services import S3Server, ValkeyServer
from scheduler.submission.lister import PAGE_SCANS
from scheduler.submission.submitter import Submission, Submitter
from tests.acceptance.command import clean_environment
from tests.waiting import wait_until
from worker.storage import S3Options

SCAN_COUNT = 2 * PAGE_SCANS  # the middle is between two pages, each of which is a transaction

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start_scheduler(valkey: ValkeyServer, s3_server: S3Server, database_url: str, tmp_path: Path) -> Start:
    settings = {
        **s3_server.environment(),
        "PHOTOCHROM_DATABASE_URL": database_url,
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_SCHEDULER_ROUND_SECONDS": "0.1",
        "PHOTOCHROM_HEARTBEAT_SECONDS": "0.5",
    }

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "scheduler", "scheduler"]
        return subprocess.Popen(command, cwd=tmp_path, env=clean_environment(**settings))

    return start


@pytest.fixture
def job_id(engine: Engine, s3_server: S3Server, s3_options: S3Options, bucket: str) -> int:
    """A job that waits for a scheduler to list its source."""
    # The server's buckets are folders, and to write files into them is faster than to make the objects over HTTP.
    for box in range(2):
        folder = s3_server.folder / "buckets" / bucket / "in" / f"box {box}"
        folder.mkdir(parents=True)
        for number in range(PAGE_SCANS):
            (folder / f"{number:04}.tif").touch()
    submitter = Submitter(engine, s3=s3_options, chunk_scans=64, checkpoints=list)
    submitted = submitter.submit_later(Submission(f"s3://{bucket}/in", f"s3://{bucket}/out"))
    assert submitted.job_id is not None
    return submitted.job_id


def scan_count(engine: Engine) -> int:
    with read_scope(engine) as session:
        return session.scalar(select(func.count()).select_from(Scan)) or 0


def job(engine: Engine, job_id: int) -> Job:
    with read_scope(engine) as session:
        return session.get_one(Job, job_id)


def kill_in_the_middle(scheduler: subprocess.Popen[bytes], engine: Engine) -> int:
    """Kill the scheduler during its listing. Returns how many scans it has listed."""
    try:
        wait_until(lambda: scan_count(engine) or scheduler.poll() is not None, pause_seconds=0.005)
    finally:
        scheduler.kill()
        scheduler.wait()
    return scan_count(engine)


def heartbeat(engine: Engine) -> datetime | None:
    """The newest one of all schedulers."""
    with read_scope(engine) as session:
        return session.scalar(select(func.max(Scheduler.heartbeat_at)))


def wait_for_rounds(engine: Engine) -> None:
    beats = set[datetime | None]()

    def are_three() -> bool:
        beats.add(heartbeat(engine))
        return len(beats) == 3

    wait_until(are_three)


def test_a_listing_whose_scheduler_was_killed_is_taken_over_when_its_lease_ends_and_lists_each_scan_once(
    engine: Engine, job_id: int, start_scheduler: Start
) -> None:
    listed = kill_in_the_middle(start_scheduler(), engine)
    assert 0 < listed < SCAN_COUNT, "it was not killed in the middle"

    other = start_scheduler()
    try:
        wait_for_rounds(engine)
        assert (scan_count(engine), job(engine, job_id).listing_attempt) == (listed, 1)
        with session_scope(engine) as session:  # two minutes of silence have the same effect
            session.execute(update(Job).values(listing_lease_expires_at=utc_now() - timedelta(seconds=1)))
        wait_until(lambda: job(engine, job_id).state != JobState.SUBMITTING)
    finally:
        other.kill()
        other.wait()

    assert (job(engine, job_id).state, job(engine, job_id).listing_attempt) == (JobState.RUNNING, 2)
    with read_scope(engine) as session:
        times = Counter(session.scalars(select(Scan.source_key)))
        chunks = session.execute(select(func.count(), func.sum(Chunk.scan_count))).one()
        claims = session.scalar(select(func.count()).select_from(OutputClaim))
    assert (len(times), set(times.values())) == (SCAN_COUNT, {1})
    assert (tuple(chunks), claims) == ((SCAN_COUNT // 64, SCAN_COUNT), SCAN_COUNT)
