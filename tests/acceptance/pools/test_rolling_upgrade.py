"""A pool goes from an earlier release to this one while a job runs: no pause, nothing lost, nothing done twice."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import text

from db.migrations import current_revision
from db.session import make_engine, read_scope, session_scope
from scheduler.standalone.services import ValkeyServer
from tests.acceptance.command import clean_environment, photochrom
from tests.acceptance.one_machine.test_run import write_scan
from tests.faults.processes import Processes
from tests.faults.world import COUNT_DONE
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(900)
EARLIER = "e584599"  # the release before this one
SCANS = 160
QUICK = {
    "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "600",
    "PHOTOCHROM_BATCH_SIZE": "4",
    "PHOTOCHROM_CHUNK_SCANS": "8",
    "PHOTOCHROM_CHILDREN": "1",
    "PHOTOCHROM_THREADS_PER_CHILD": "4",
    "PHOTOCHROM_RECORD_SECONDS": "0.5",
    "PHOTOCHROM_LEASE_SECONDS": "10",
    "PHOTOCHROM_HEARTBEAT_SECONDS": "1",
}


class Pool(Processes):
    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(folder)
        self._settings = settings

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(**self._settings, PHOTOCHROM_PARENT_PID=str(os.getpid()))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of the earlier release."""
    packed = subprocess.run(["git", "-C", ROOT, "archive", EARLIER], capture_output=True)
    if packed.returncode:
        pytest.skip(f"this clone has no commit {EARLIER}: {packed.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return str(folder)


def test_old_workers_finish_beside_a_new_scheduler_and_new_workers_take_over(
    earlier: str, valkey: ValkeyServer, postgresql_url: str, tmp_path: Path
) -> None:
    settings = {**QUICK, "PHOTOCHROM_DATABASE_URL": postgresql_url, "PHOTOCHROM_BROKER_URL": valkey.url}
    for number in range(SCANS):
        write_scan(tmp_path / "scans" / f"{number:03}.png", number)
    old = {**settings, "PYTHONPATH": earlier}
    run_old(tmp_path, old, "db", "upgrade")
    run_old(tmp_path, old, "submit", str(tmp_path / "scans"), str(tmp_path / "colour"))
    engine = make_engine(postgresql_url)
    with session_scope(engine) as session:
        session.execute(text(COUNT_DONE))
    pool = Pool(tmp_path, settings)
    try:
        pool.start("scheduler-old", "worker-old", PYTHONPATH=earlier)
        wait_until(lambda: ended(postgresql_url) >= 8)
        assert photochrom("db", "upgrade", folder=tmp_path, **settings).returncode == 0
        pool.start("scheduler-new", "worker-new")
        pool.terminate("scheduler-old")
        before = ended(postgresql_url)
        wait_until(lambda: ended(postgresql_url) >= min(SCANS, before + 8))
        pool.terminate("worker-old")
        wait_until(lambda: pool.ends("worker-old") and pool.ends("scheduler-old"))
        wait_until(lambda: ended(postgresql_url) == SCANS)
        refused = subprocess.run([sys.executable, "-m", "scheduler", "scheduler"], **in_old(tmp_path, old))  # type: ignore[call-overload]
        assert (refused.returncode, "newer than this version" in refused.stderr) == (2, True)
    finally:
        pool.kill_all()

    with read_scope(engine) as session:
        written = session.execute(text("SELECT count(*), count(DISTINCT scan_id) FROM done_log")).one()
        assert tuple(written) == (SCANS, SCANS)
        workers = session.scalars(text("SELECT DISTINCT worker FROM tally")).all()
    assert len(workers) == 2
    assert photochrom("verify", "1", folder=tmp_path, **settings).returncode == 0


LATER_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
oldest_worker = "{before}"


def upgrade() -> None:
    for table in ("job", "chunk", "scan", "worker"):
        op.add_column(table, sa.Column("since_{revision}", sa.Text()))
"""


def next_release(folder: Path, release: Path, head: int) -> str:
    """PYTHONPATH of the release after `release`, whose last revision is `head`. It has one revision more, and supports
    workers of `release`.
    """
    shutil.copytree(release / "db", folder / "db")
    for part in ("worker", "scheduler"):
        (folder / part).symlink_to(ROOT / part)
    revision = LATER_REVISION.format(revision=f"{head + 1:04}", before=f"{head:04}")
    (folder / "db/migrations/versions" / f"{head + 1:04}_later.py").write_text(revision)
    return str(folder)


def log_of(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text()


def test_workers_start_beside_the_next_release_and_end_at_the_one_after_it(
    valkey: ValkeyServer, postgresql_url: str, tmp_path: Path
) -> None:
    settings = {**QUICK, "PHOTOCHROM_DATABASE_URL": postgresql_url, "PHOTOCHROM_BROKER_URL": valkey.url}
    for number in range(SCANS):
        write_scan(tmp_path / "scans" / f"{number:03}.png", number)
    assert photochrom("db", "upgrade", folder=tmp_path, **settings).returncode == 0
    assert photochrom("submit", tmp_path / "scans", tmp_path / "colour", folder=tmp_path, **settings).returncode == 0
    engine = make_engine(postgresql_url)
    with session_scope(engine) as session:
        session.execute(text(COUNT_DONE))
    head = int(current_revision(engine) or 0)
    following = next_release(tmp_path / "following", ROOT, head)
    last = next_release(tmp_path / "last", Path(following), head + 1)
    pool = Pool(tmp_path, settings)
    try:
        pool.start("scheduler", "worker-first")
        wait_until(lambda: ended(postgresql_url) >= 8)
        run_old(tmp_path, {**settings, "PYTHONPATH": following}, "db", "upgrade")
        pool.start("worker-second")
        supported = f"at revision {head + 1:04}, newer than this worker's {head:04}, and supports this worker"
        for name in ("worker-first", "worker-second"):
            wait_until(lambda name=name: supported in log_of(tmp_path, name))  # type: ignore[misc]
        wait_until(lambda: " children of " in log_of(tmp_path, "worker-second"))
        refused = photochrom("scheduler", folder=tmp_path, **settings)
        assert (refused.returncode, "newer than this version" in refused.stderr) == (2, True)

        run_old(tmp_path, {**settings, "PYTHONPATH": last}, "db", "upgrade")
        wait_until(lambda: pool.ends("worker-first") and pool.ends("worker-second"))
        pool.start("worker-third")
        wait_until(lambda: pool.ends("worker-third"))
        for name in ("worker-first", "worker-second", "worker-third"):
            assert f"supports workers from revision {head + 1:04} on" in log_of(tmp_path, name)
            assert pool.exit_status(name) == 2
        pool.start("worker-last", PYTHONPATH=last)
        wait_until(lambda: ended(postgresql_url) == SCANS)
    finally:
        pool.kill_all()

    with read_scope(engine) as session:
        written = session.execute(text("SELECT count(*), count(DISTINCT scan_id) FROM done_log")).one()
    assert tuple(written) == (SCANS, SCANS)


def ended(url: str) -> int:
    """Count the ended scans in plain SQL, which works with the tables of both releases."""
    with read_scope(make_engine(url)) as session:
        counted = session.scalar(text("SELECT sum(done_count + failed_count + skipped_count) FROM chunk"))
    return int(counted or 0)


def in_old(folder: Path, environment: dict[str, str]) -> dict[str, object]:
    return {"cwd": folder, "env": clean_environment(**environment), "capture_output": True, "text": True}


def run_old(folder: Path, environment: dict[str, str], *arguments: str) -> None:
    ran = subprocess.run([sys.executable, "-m", "scheduler", *arguments], **in_old(folder, environment))  # type: ignore[call-overload]
    assert ran.returncode == 0, ran.stderr
