"""`photochrom run`: a person's own folder, on this machine alone, and again for what is missing."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from db.clock import utc_now
from db.models import JobState, Scan, ScanState
from db.queries import chunks, jobs, scans
from db.session import read_scope, session_scope
from scheduler.submit import Submission, Submitter, open_both
from worker.errors import UsageError
from worker.storage import S3Options

STATE_FOLDER = ".photochrom"  # within the output folder; listings leave hidden folders out
REPORT = "photochrom-report.html"


@contextmanager
def only_one(state_folder: Path) -> Iterator[None]:
    """Raises UsageError while another run works on the same output folder."""
    state_folder.mkdir(parents=True, exist_ok=True)
    with (state_folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another photochrom run works on {state_folder.parent} now; wait for it, or name another output folder"
            ) from None
        yield


def resume_or_submit(engine: Engine, asked: Submission, *, chunk_scans: int, s3: S3Options) -> int | None:
    """The job to work on: the one that was interrupted, else a new one for what is missing; None if nothing is.

    Nobody else works on this database, so the leases of whoever was killed end at once.
    Raises UsageError for folders that can't be used.
    """
    interrupted = _interrupted(engine, asked)
    if interrupted is not None:
        return interrupted
    return Submitter(engine, s3=s3, chunk_scans=chunk_scans).submit(asked).job_id


def _interrupted(engine: Engine, asked: Submission) -> int | None:
    now = utc_now()
    with session_scope(engine) as session:
        for message in chunks.leased(session):
            chunks.release(session, message, not_before=None)
        for job in jobs.unfinished(session):
            if job.state == JobState.SUBMITTING:
                jobs.remove(session, job.id)
            elif job.options != asked.options:
                jobs.change_state(session, job.id, JobState.CANCELLED, now=now)
            else:
                jobs.take_back_queued(session, job.id)
                return job.id
    return None


def failures(engine: Engine, job_id: int) -> list[Scan]:
    with read_scope(engine) as session:
        return scans.of_job(session, job_id, state=ScanState.FAILED)


def check_folders(asked: Submission, s3: S3Options) -> None:
    """Raises UsageError before anything is made, so that a mistyped folder leaves nothing behind."""
    open_both(asked, s3)
