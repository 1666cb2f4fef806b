"""Jobs: create them, add scans, change their state, complete them, and show their progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import column, delete, func, insert, select, table, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import Conflict, NotFound, UsageError
from db.models.base import UtcDateTime
from db.models.jobs import HAS_FAILED, OUT, UNFINISHED, Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.queries import bulk
from db.queries.jobs import output_claims
from db.queries.scans import key_search

STOPPED_JOB_SETTLES = timedelta(seconds=30)

# For each state, the states from which a person may bring a job into it.
ALLOWED = {
    JobState.PAUSED: JobState.AFTER[JobState.PAUSED],
    JobState.RUNNING: (JobState.PAUSED,),
    JobState.CANCELLED: JobState.AFTER[JobState.CANCELLED],
}


_PROGRESS = table(
    "job_progress",
    column("job_id"),
    column("done"),
    column("failed"),
    column("skipped"),
    column("started_at", UtcDateTime()),
    column("busy_seconds"),
    column("scans_per_second"),
)


@dataclass(frozen=True, slots=True)
class NewScan:
    """A scan in the listing of the source; keys are relative to the job's source and destination.

    A scan with an error is recorded as failed at once, because the listing already shows that it can't be read.
    """

    source_key: str
    source_etag: str | None  # this and the bytes are None if a manifest does not name them
    source_bytes: int | None
    output_key: str
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in counts of scans."""

    job: Job
    done: int
    failed: int
    skipped: int
    started_at: datetime | None  # when a worker first claimed one of its chunks
    busy_seconds: float | None  # from then to the last scan, without long times in which no scan ended
    scans_per_second: float | None  # while workers worked on it; None before the first record

    @property
    def total(self) -> int:
        return self.job.scan_count

    @property
    def pending(self) -> int:
        return self.total - self.done - self.failed - self.skipped

    @property
    def ended(self) -> bool:
        return self.job.state in JobState.ENDED


def create(
    session: Session,
    *,
    name: str,
    source: str,
    destination: str,
    options: dict[str, Any],
    priority: int,
    now: datetime,
    selection: dict[str, Any] | None = None,
    submitted_by: str | None = None,
) -> int:
    """Insert a job whose scans are still to be listed. Returns its id."""
    job = Job(
        name=name,
        source=source,
        destination=destination,
        options=options,
        selection=selection,
        priority=priority,
        created_at=now,
        submitted_by=submitted_by,
    )
    session.add(job)
    session.flush()
    return job.id


def add_scans(
    session: Session, job_id: int, scans: Sequence[NewScan], *, chunk_scans: int, now: datetime | None = None
) -> None:
    """Claim the outputs of these scans, and insert the scans in chunks of `chunk_scans` (the last may be shorter).

    Scans with an error get chunks of their own, which are done: no worker gets them, and no attempt is used up.
    now: when these failed; without such scans it is not needed.

    Raises UsageError if two of the job's scans have the same output; Conflict if an output belongs to another source,
    or another job is going to make it.
    """
    output_claims.claim(session, get(session, job_id), {scan.output_key: scan.source_key for scan in scans})
    to_colour = [scan for scan in scans if scan.error_code is None]
    failed = [scan for scan in scans if scan.error_code is not None]
    groups = [
        part[start : start + chunk_scans] for part in (to_colour, failed) for start in range(0, len(part), chunk_scans)
    ]
    chunk_ids = session.scalars(
        insert(Chunk).returning(Chunk.id, sort_by_parameter_order=True), [_chunk_row(job_id, group) for group in groups]
    ).all()
    rows = [
        _scan_row(job_id, chunk_id, scan, now)
        for chunk_id, group in zip(chunk_ids, groups, strict=True)
        for scan in group
    ]
    try:
        bulk.insert_rows(session, Scan, _SCAN_COLUMNS, rows)
    except IntegrityError:
        raise UsageError(
            "two scans would have the same output; expected a place for each: mend the manifest's output keys"
        ) from None
    key_search.note_keys(session, chunk_ids, [[scan.source_key for scan in group] for group in groups])
    session.execute(update(Job).where(Job.id == job_id).values(scan_count=Job.scan_count + len(scans)))


_SCAN_COLUMNS = (
    *("job_id", "chunk_id", "state", "attempts", "source_key", "source_etag", "source_bytes", "output_key"),
    *("error_code", "error_message", "finished_at"),
)


def _chunk_row(job_id: int, group: Sequence[NewScan]) -> dict[str, Any]:
    failed_count = sum(scan.error_code is not None for scan in group)
    state = ChunkState.DONE if failed_count == len(group) else ChunkState.PENDING
    return {"job_id": job_id, "scan_count": len(group), "failed_count": failed_count, "state": state}


def _scan_row(job_id: int, chunk_id: int, scan: NewScan, now: datetime | None) -> tuple[Any, ...]:
    """The values of _SCAN_COLUMNS."""
    listed = (scan.source_key, scan.source_etag, scan.source_bytes, scan.output_key)
    if scan.error_code is None:
        return (job_id, chunk_id, ScanState.PENDING, 0, *listed, None, None, None)
    return (job_id, chunk_id, ScanState.FAILED, 0, *listed, scan.error_code, scan.error_message, now)


def start(
    session: Session,
    job_id: int,
    *,
    other_count: int,
    max_failures: int | None = None,
    state: str = JobState.RUNNING,
) -> None:
    """End the listing: the dispatcher sees the job from now on, or the job waits as SAMPLED.

    Raises UsageError if the job was cancelled meanwhile.
    """
    started = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.SUBMITTING)
        .values(state=state, other_count=other_count, max_failures=max_failures)
        .returning(Job.id)
    ).all()
    if not started:
        raise UsageError(f"job {job_id} was cancelled while its scans were listed; submit it again if that was wrong")


def remove(session: Session, job_id: int) -> None:
    """Delete a job whose submission failed, with all its rows and claims."""
    output_claims.release(session, get(session, job_id))
    for rows, owner in ((Scan, Scan.job_id), (Chunk, Chunk.job_id), (Job, Job.id)):
        session.execute(delete(rows).where(owner == job_id))


def get(session: Session, job_id: int) -> Job:
    """Raises UsageError when there is no such job."""
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(f"job {job_id} is not in the database; photochrom status lists the jobs that are")
    return job


def hold(session: Session, job_id: int) -> Job:
    """As `get`, with the job as it is now; until the end of this transaction, nobody else changes it."""
    held = select(Job).where(Job.id == job_id).with_for_update(key_share=True)
    session.execute(held.execution_options(populate_existing=True))
    return get(session, job_id)


def change_state(session: Session, job_id: int, state: str, *, now: datetime) -> None:
    """Pause, resume or cancel a job. Chunks that wait with the broker are taken back.

    Raises UsageError if the job's state doesn't allow it.
    """
    finished_at = now if state in JobState.ENDED else None
    changed = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(ALLOWED[state]))
        .values(state=state, finished_at=finished_at, report_due_at=_report_due(finished_at), report_tries=0)
        .returning(Job.id)
    ).all()
    if not changed:
        current_state = get(session, job_id).state
        states, participle = " or ".join(ALLOWED[state]), "resumed" if state == JobState.RUNNING else state
        raise Conflict(f"job {job_id} is {current_state}; only a {states} job can be {participle}")
    _take_back_queued(session, job_id)


def _report_due(stopped_at: datetime | None) -> datetime | None:
    """Some time after a job was stopped. By then, the scans that workers still had have ended too."""
    return stopped_at + STOPPED_JOB_SETTLES if stopped_at else None


def _take_back_queued(session: Session, job_id: int) -> None:
    """Set chunks that wait with the broker to pending. If their messages still arrive, they claim nothing."""
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.state == ChunkState.QUEUED, OUT)
        .values(state=ChunkState.PENDING, queued_at=None)
    )


def complete_finished(session: Session, *, now: datetime) -> list[int]:
    """Set every job without an unfinished chunk to completed. Returns their ids."""
    # Lock first, read afterwards: see chunks.release. A job that another transaction changes now is left for the next
    # round.
    going = (
        session.scalars(
            select(Job.id)
            .where(Job.state.in_((JobState.RUNNING, JobState.PAUSED)))
            .with_for_update(skip_locked=True, key_share=True)
        )
    ).all()
    unfinished = select(Chunk.id).where(Chunk.job_id == Job.id, UNFINISHED).exists()
    return list(
        session.scalars(
            update(Job)
            .where(Job.id.in_(going), ~unfinished)
            .values(state=JobState.COMPLETED, finished_at=now, report_due_at=now, report_tries=0)
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        )
    )


def abort_failing(session: Session, *, now: datetime) -> list[int]:
    """Abort every job of which more scans have failed than its submitter allowed. Returns their ids.

    Paused jobs too, because scans that were in work when the job was paused may fail.
    """
    goes_on = Job.state.in_((JobState.RUNNING, JobState.PAUSED))
    watched = select(Job.id).where(goes_on, Job.max_failures.is_not(None))
    # With key_share, the lock does not conflict with the lock that each record takes for the foreign key of its tally.
    # Without it, some hundred workers would hold that lock all the time, and no job would ever be aborted.
    job_ids = session.scalars(watched.order_by(Job.id).with_for_update(skip_locked=True, key_share=True)).all()
    if not job_ids:
        return []
    failed = select(func.sum(Chunk.failed_count)).where(Chunk.job_id == Job.id, HAS_FAILED).scalar_subquery()
    aborted = session.scalars(
        update(Job)
        .where(Job.id.in_(job_ids), failed > Job.max_failures)
        .values(state=JobState.ABORTED, finished_at=now, report_due_at=_report_due(now), report_tries=0)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).all()
    for job_id in aborted:
        _take_back_queued(session, job_id)
    return list(aborted)


def set_priority(session: Session, job_id: int, priority: int) -> None:
    """Set the priority; jobs with a higher one go first, from the next round on.

    Raises UsageError if the job is unknown or has ended.
    """
    job = get(session, job_id)
    changed = update(Job).where(Job.id == job_id, Job.state.not_in(JobState.ENDED)).values(priority=priority)
    if not session.scalars(changed.returning(Job.id)).all():
        raise Conflict(f"job {job_id} is {job.state}; only one that has not ended has a priority")


def recent_ids(session: Session, *, limit: int) -> list[int]:
    """The latest jobs, newest first."""
    return list(session.scalars(select(Job.id).order_by(Job.id.desc()).limit(limit)))


def progress(session: Session, job_id: int) -> Progress:
    """The job's row of the view job_progress, which is fast for a million scans.

    Raises UsageError if there is no such job.
    """
    job = get(session, job_id)
    row = session.execute(select(_PROGRESS).where(_PROGRESS.c.job_id == job_id)).one()
    counts = int(row.done), int(row.failed), int(row.skipped)
    return Progress(job, *counts, row.started_at, row.busy_seconds, row.scans_per_second)


def waiting(session: Session, job_id: int, *, now: datetime) -> tuple[int, datetime | None]:
    """How many of the job's chunks wait to be tried again after a passing error, and when the first is due."""
    row = session.execute(
        select(func.count(), func.min(Chunk.not_before)).where(
            Chunk.job_id == job_id, Chunk.state == ChunkState.PENDING, UNFINISHED, Chunk.not_before > now
        )
    ).one()
    return row[0], row[1]


def failure_that_may_pass(session: Session, job_id: int, *, now: datetime) -> Scan | None:
    """One of the scans that wait for their next attempt, with its error; None if no scan waits."""
    waits = Chunk.job_id == job_id, Chunk.state == ChunkState.PENDING, UNFINISHED, Chunk.not_before > now
    failed = Scan.state == ScanState.PENDING, Scan.error_code.is_not(None)
    return session.scalars(select(Scan).join(Chunk, Scan.chunk_id == Chunk.id).where(*waits, *failed).limit(1)).first()


def note_sealed(session: Session, job_id: int, *, finished_at: datetime | None, now: datetime) -> bool:
    """Record that the job's destination is a complete bag.

    Returns False, and records nothing, if the job was tried again since it ended at `finished_at`.
    """
    as_it_was = Job.state == JobState.COMPLETED, Job.finished_at == finished_at
    sealed = update(Job).where(Job.id == job_id, *as_it_was).values(sealed_at=now).returning(Job.id)
    return session.scalar(sealed.execution_options(synchronize_session=False)) is not None


def to_seal(session: Session) -> list[int]:
    """Completed jobs whose destination must still become a bag, the oldest first."""
    waiting = select(Job.id).where(
        Job.state == JobState.COMPLETED, Job.sealed_at.is_(None), Job.options["bag"].as_boolean().is_(True)
    )
    return list(session.scalars(waiting.order_by(Job.id)))


def last_with_a_bag(session: Session) -> int | None:
    """The latest completed job that was submitted with --bag; None if there is none."""
    latest = select(func.max(Job.id)).where(Job.state == JobState.COMPLETED, Job.options["bag"].as_boolean().is_(True))
    return session.scalar(latest)


def unfinished(session: Session) -> list[Job]:
    """Every job that has not ended, the oldest first."""
    return list(session.scalars(select(Job).where(Job.state.not_in(JobState.ENDED)).order_by(Job.id)))


def into(session: Session, destination: str) -> list[Job]:
    """Every job with this destination, the oldest first."""
    return list(session.scalars(select(Job).where(Job.destination == destination).order_by(Job.id)))
