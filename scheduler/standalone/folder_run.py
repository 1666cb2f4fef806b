"""`photochrom run`: colours a folder on this machine. Later runs do only what is missing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.models.jobs import Job, JobState, Scan, ScanState
from db.queries.chunks import claims
from db.queries.chunks.checkpoints import serves
from db.queries.jobs import lifecycle, samples
from db.queries.jobs.samples import SAMPLES
from db.queries.reports import due
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.report.store import store_report
from scheduler.standalone.system import only_one
from scheduler.submission.checkpoints import own_checkpoint
from scheduler.submission.request import other_options
from scheduler.submission.submitter import Submission, Submitted, Submitter, expect_a_scan, open_both
from scheduler.text import counted
from worker.errors import UsageError
from worker.model.checkpoint import check_embedding, head_of, verify
from worker.settings.settings import Settings
from worker.storage import FolderLocation, S3Options, parse_location
from worker.system.mounts import network_share

STATE_FOLDER = ".photochrom"  # in the output folder; listings leave hidden folders out
LOCK = "lock"  # in the state folder: one run at a time


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a run does with the unfinished jobs of earlier ones: it finishes some, the oldest first, and cancels others.

    `notices`: a sentence for each job that is cancelled with scans left.
    """

    job_ids: list[int]
    notices: list[str]


def take_up_unfinished(engine: Engine, submission: Submission, settings: Settings) -> Unfinished:
    """Take up the unfinished jobs that this run must finish: redone outputs, retried scans, a job that goes on with the
    choice from its sample, other folders.

    An unfinished job of an earlier run with the same folders is cancelled instead. Its outputs count, and
    `submit_missing` finds the rest. A job that waits for another checkpoint is not changed, nor one of other folders
    that waits for a choice from its sample. Scans that wait after an outage are due at once, because a person who runs
    it again has mended what was wrong.
    """
    source, destination = parse_location(submission.source).uri, parse_location(submission.destination).uri
    unfinished = Unfinished([], [])
    with session_scope(engine) as session:
        now = database_now(session)
        for job in lifecycle.unfinished(session):
            # The jobs of a sample have their own folder in the destination.
            is_same = job.source == source and job.destination.partition(f"/{SAMPLES}")[0] == destination
            if job.state == JobState.SUBMITTING or (is_same and not _is_a_decision(session, job)):
                unfinished.notices.extend(_cancellation(session, job, submission, is_same=is_same))
                lifecycle.change_state(session, job.id, JobState.CANCELLED, now=now)
            elif job.state != JobState.SAMPLED and serves(own_checkpoint(settings), job.options):
                if job.state == JobState.PAUSED:
                    lifecycle.change_state(session, job.id, JobState.RUNNING, now=now)
                claims.end_pauses(session, job.id)
                unfinished.job_ids.append(job.id)
    return unfinished


def _is_a_decision(session: Session, job: Job) -> bool:
    """Whether a person asked for this job's scans: by a redo, by a retry after the job's report, or by the choice from
    its sample.

    A job that waits for a choice has a report too, its sample's. Its choice is made by the options of the next run.
    """
    if job.state == JobState.SAMPLED:
        return False
    return "redone" in (job.selection or {}) or job.report_key is not None or samples.has_sample(session, job.id)


def _cancellation(session: Session, job: Job, submission: Submission, *, is_same: bool) -> Iterator[str]:
    """Why this job is cancelled, and what happens to the scans that it leaves. Nothing if it leaves none, or if it is
    part of a sample, because its scans are those of the sampled job.
    """
    pending = lifecycle.progress(session, job.id).pending
    if not pending or "sample_of" in (job.selection or {}):
        return
    left = f"job {job.id} is cancelled with {pending:,} of {counted(job.scan_count, 'scan')} left"
    if not is_same:
        yield f"{left}, because its listing was stopped; run or submit {job.source} again"
        return
    names = other_options(job.options, submission.options)
    if job.state == JobState.SUBMITTING:
        reason = "because its listing was stopped"
    elif job.state == JobState.SAMPLED:
        reason = "because it waited for a choice from its sample"
    elif names:
        reason = f"because this run has other options ({', '.join(names)})"
    else:
        reason = "with what is new in the folder"
    yield f"{left}: this run takes them over in a new job, {reason}"


def submit_missing(engine: Engine, submission: Submission, *, settings: Settings) -> Submitted:
    """Submit a job for every scan that is new, changed, failed or not coloured yet; no job if there is none.

    Raises UsageError for folders that can't be used.
    """
    submitter = Submitter(
        engine,
        s3=settings.s3_options,
        chunk_scans=settings.chunk_scans,
        checkpoints=lambda: [own_checkpoint(settings, head=submission.head, embedding=submission.embedding)],
    )
    return submitter.submit(submission)


@contextmanager
def locked(output: Path, state: Path) -> Iterator[None]:
    """Locks the output folder and the state folder while the block runs.

    Raises UsageError if another run has locked one of them.
    """
    with ExitStack() as locks:
        # Locked in one order, and each once, because the state folder is usually in the output folder.
        for folder in sorted({(output / STATE_FOLDER).resolve(), state.resolve()}):
            locks.enter_context(only_one(folder / LOCK))
        yield


def store_and_note_report(engine: Engine, job_id: int, settings: Settings) -> str:
    """Write a finished job's report into its destination, and record it in the job's row. Returns its place."""
    key = store_report(engine, job_id, settings)
    with session_scope(engine) as session:
        job = lifecycle.get(session, job_id)
        due.written(session, job_id, key, claimed_until=job.report_due_at or database_now(session))
    return f"{job.destination}/{key}"


def progress_so_far(engine: Engine, job_ids: Sequence[int]) -> tuple[int, int]:
    """How many scans of these jobs are done, and how many there are."""
    with read_scope(engine) as session:
        jobs = [lifecycle.progress(session, job_id) for job_id in job_ids]
    return sum(progress.total - progress.pending for progress in jobs), sum(progress.total for progress in jobs)


def state_folder_of(engine: Engine) -> Path | None:
    """The state folder with the job database; None if the database was not made by `photochrom run`."""
    if engine.url.get_backend_name() != "sqlite" or not engine.url.database:
        return None
    folder = Path(engine.url.database).resolve().parent
    return folder if (folder / LOCK).exists() else None


def failures(engine: Engine, job_id: int) -> list[Scan]:
    with read_scope(engine) as session:
        return records.of_job(session, job_id, state=ScanState.FAILED)


def check_folders(submission: Submission, s3: S3Options) -> Path:
    """Check both folders and return the output folder.

    Raises UsageError before anything is made, so a mistake leaves no files.
    """
    for text in (submission.source, submission.destination):
        if not isinstance(parse_location(text), FolderLocation):
            raise UsageError(f"{text} is not a folder; photochrom run works on folders, photochrom submit on S3 too")
    source, destination = open_both(submission, s3)
    expect_a_scan(source)
    return Path(destination.uri)


def check_state_folder(state: Path) -> None:
    """Raises UsageError for a network share, because the job database is a file of SQLite in the state folder."""
    if share := network_share(state):
        raise UsageError(
            f"the state folder {state} is on a network share ({share}), where the locks of the job database do not "
            "hold; name a folder on a disk of this machine with --state-folder, the same one each time"
        )


def check_checkpoint(settings: Settings) -> None:
    """Raises CheckpointError before any process starts.

    Otherwise only the worker's log would show it, minutes later.
    """
    if settings.stand_in_model_milliseconds is None:
        card = verify(settings.checkpoint_folder)
        head_of(card, settings.head)
        check_embedding(card, settings.embedding)
