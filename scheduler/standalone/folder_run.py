"""`photochrom run`: a person's own folder, on this machine alone, and again for what is missing."""

from pathlib import Path

from sqlalchemy import Engine

from db.clock import database_now
from db.models.jobs import JobState, Scan, ScanState
from db.queries.jobs import lifecycle
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.submission.checkpoints import own_checkpoint
from scheduler.submission.submitter import Submission, Submitter, expect_a_scan, open_both
from worker.errors import UsageError
from worker.model.checkpoint import bundled_checkpoint_path, check_embedding, head_of, verify
from worker.settings.settings import Settings
from worker.storage import FolderLocation, S3Options, parse_location

STATE_FOLDER = ".photochrom"  # within the output folder; listings leave hidden folders out
LOCK = "lock"  # in the state folder: one run at a time


def submit_missing(engine: Engine, asked: Submission, *, settings: Settings) -> int | None:
    """A job for every scan that is new, changed, failed or was not reached before; None when there is none.

    What an earlier run left unfinished is cancelled first: its done scans count, the rest is missing.
    Raises UsageError for folders that can't be used.
    """
    with session_scope(engine) as session:
        now = database_now(session)
        for job in lifecycle.unfinished(session):
            lifecycle.change_state(session, job.id, JobState.CANCELLED, now=now)
    submitter = Submitter(
        engine,
        s3=settings.s3_options,
        chunk_scans=settings.chunk_scans,
        checkpoints=lambda: [own_checkpoint(settings, head=asked.head, embedding=asked.embedding)],
    )
    return submitter.submit(asked).job_id


def state_folder_of(engine: Engine) -> Path | None:
    """The state folder that the job database lies in; None where it is not one of `photochrom run`."""
    if engine.url.get_backend_name() != "sqlite" or not engine.url.database:
        return None
    folder = Path(engine.url.database).resolve().parent
    return folder if (folder / LOCK).exists() else None


def failures(engine: Engine, job_id: int) -> list[Scan]:
    with read_scope(engine) as session:
        return records.of_job(session, job_id, state=ScanState.FAILED)


def check_folders(asked: Submission, s3: S3Options) -> Path:
    """The output folder; raises UsageError before anything is made, so that a mistake leaves nothing behind."""
    for text in (asked.source, asked.destination):
        if not isinstance(parse_location(text), FolderLocation):
            raise UsageError(f"{text} is not a folder; photochrom run works on folders, photochrom submit on S3 too")
    source, destination = open_both(asked, s3)
    expect_a_scan(source)
    return Path(destination.uri)


def check_checkpoint(settings: Settings) -> None:
    """Raises CheckpointError before anything is begun, not minutes later out of a worker's log."""
    if settings.stand_in_model_milliseconds is None:
        card = verify(settings.checkpoint or bundled_checkpoint_path())
        head_of(card, settings.head)
        check_embedding(card, settings.embedding)
