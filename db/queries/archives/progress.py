"""Archives or deletes one job in steps, and continues after a kill.

One row stores the progress. Each step is one transaction that locks this row and checks its attempt. So after another
process has taken over, the earlier one can change nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.errors import Conflict
from db.models.archives import ArchivedScan, ArchiveState, JobArchive
from db.models.jobs import OUT, Chunk, Job, JobState, Scan
from db.models.reviews import Review, Verdict
from db.queries.archives import moves
from db.queries.jobs import lifecycle
from db.queries.reports import due

SILENT = timedelta(minutes=1)  # a process that archives a job and is silent for this long is taken for dead
_CHUNKS = 64  # chunks that one step looks at


@dataclass(frozen=True, slots=True)
class Archiving:
    """The hold of one process on a job that it archives or deletes. `state` is the job's state when it began."""

    job: Job
    begun_at: datetime  # with `attempt`, it tells this process from all others that worked on the job
    attempt: int
    state: str


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Where an archive's two files lie in the job's destination, their SHA-256, and the rows in each."""

    key: str
    sha256: str
    sources_key: str
    sources_sha256: str
    scan_count: int


def begin(session: Session, job_id: int, *, now: datetime) -> Archiving:
    """Begin to archive a job, or continue where another process ended. The job's rows can't change any more.

    Raises NotFound; Conflict if the job can't be archived, is archived already, or another process is working on it.
    """
    job, archive = _locked(session, job_id)
    if archive is None:
        _expect_ended(session, job, "archived")
        if due.is_expected(job, now=now):
            raise Conflict(
                f"the report of job {job_id} is still to be written from its rows; try again when it is there"
            )
        _expect_not_needed(session, job, "archived")
        return _first(session, job, ArchiveState.WRITING, now)
    if archive.state == ArchiveState.DONE:
        raise Conflict(f"job {job_id} is archived already, in {job.destination}/{job.archive_key}")
    if archive.state == ArchiveState.DELETING:
        raise Conflict(f"job {job_id} is half deleted; to finish that: photochrom jobs delete {job_id}")
    return _next(archive, job, now)


def begin_deletion(session: Session, job_id: int, *, forget_accepted: bool, now: datetime) -> Archiving:
    """As `begin`, to delete the job. Raises Conflict also if people accepted outputs, unless `forget_accepted` is true.

    A report of the job that is still to be written does not prevent the deletion.
    """
    job, archive = _locked(session, job_id)
    if archive is not None and archive.state == ArchiveState.DELETING:
        return _next(archive, job, now)
    if archive is not None and archive.state != ArchiveState.DONE:
        raise Conflict(f"job {job_id} is half archived; to finish that: photochrom jobs archive {job_id}")
    _expect_ended(session, job, "deleted")
    _expect_not_needed(session, job, "deleted")
    if session.get_bind().dialect.name == "sqlite" and job_id == session.scalar(select(func.max(Job.id))):
        raise Conflict(
            f"job {job_id} is the latest, and SQLite would give its number to the next one; delete it after that"
        )
    if not forget_accepted and _has_accepted(session, job_id):
        raise Conflict(
            f"people accepted outputs of job {job_id}, and without its rows a later job may make these again; archive "
            f"it instead (photochrom jobs archive {job_id}), or say --forget-accepted"
        )
    if archive is None:
        return _first(session, job, ArchiveState.DELETING, now)
    archive.state, archive.last_chunk_id = ArchiveState.DELETING, 0
    return _next(archive, job, now, is_free=True)


def _locked(session: Session, job_id: int) -> tuple[Job, JobArchive | None]:
    lifecycle.get(session, job_id)
    # Reviews and retries lock this row too: see hold_rows.
    held = select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    job = session.scalars(held).one()
    return job, session.get(JobArchive, job_id)


def _first(session: Session, job: Job, state: str, now: datetime) -> Archiving:
    session.add(
        JobArchive(job_id=job.id, state=state, attempt=1, begun_at=now, touched_at=now, last_chunk_id=0, moved_count=0)
    )
    session.flush()
    return Archiving(job, now, 1, state)


def _next(archive: JobArchive, job: Job, now: datetime, *, is_free: bool = False) -> Archiving:
    if not is_free and archive.touched_at > now - SILENT:
        raise Conflict(
            f"another process is at work on job {job.id}, or was killed less than a minute ago; "
            "try again in a minute: the same command continues from there"
        )
    archive.attempt, archive.touched_at = archive.attempt + 1, now
    return Archiving(job, archive.begun_at, archive.attempt, archive.state)


def _expect_ended(session: Session, job: Job, participle: str) -> None:
    if job.state not in JobState.ENDED:
        raise Conflict(f"job {job.id} is {job.state}; only a job that has ended can be {participle}")
    if session.scalar(select(Chunk.id).where(Chunk.job_id == job.id, OUT).limit(1)) is not None:
        raise Conflict(f"a worker still holds scans of job {job.id}; try again when it has finished them")


def _expect_not_needed(session: Session, job: Job, participle: str) -> None:
    """Raises Conflict if something still needs all rows of the job."""
    bags = Job.options["bag"].as_boolean().is_(True)
    bag = session.scalar(select(Job.id).where(Job.destination == job.destination, bags).order_by(Job.id).limit(1))
    if bag is not None:
        raise Conflict(
            f"the outputs of job {job.id} lie in the bag of job {bag}, which is sealed again from all rows whenever a "
            f"job adds to it; only a job without a bag in its destination can be {participle}; keep this one"
        )
    sampled = (job.selection or {}).get("sample_of")
    parent = session.get(Job, sampled) if sampled else None
    if parent is not None and parent.state == JobState.SAMPLED:
        raise Conflict(
            f"job {job.id} is the sample of job {parent.id}, which waits until somebody has chosen; only then can it "
            f"be {participle}"
        )
    _expect_no_choice(session, job, participle)


def _expect_no_choice(session: Session, job: Job, participle: str) -> None:
    """Raises Conflict if the job has one of two results of an output, and nobody has chosen one yet."""
    selection = job.selection or {}
    reviewed_ids = [job.id, *([selection["redone"]] if selection.get("beside") else [])]
    newest = select(func.max(Review.id)).where(Review.scan_id == Scan.id).correlate(Scan).scalar_subquery()
    redo_job = aliased(Job)
    waiting = (
        select(Scan.job_id)
        .join(Review, Review.id == newest)
        .join(redo_job, redo_job.id == Review.redo_job_id)
        .where(Scan.job_id.in_(reviewed_ids), Scan.verdict == Verdict.REDONE)
        .where(redo_job.selection["beside"].as_boolean().is_(True))
        .where(or_(Scan.job_id == job.id, redo_job.id == job.id))
    )
    reviewed = session.scalar(waiting.limit(1))
    if reviewed is not None:
        raise Conflict(
            f"outputs of job {reviewed} were made again, and nobody has chosen yet: photochrom review {reviewed} keep "
            f"--all, or take --all; then job {job.id} can be {participle}"
        )


def _has_accepted(session: Session, job_id: int) -> bool:
    live = select(Scan.id).where(Scan.job_id == job_id, Scan.verdict == Verdict.ACCEPTED).limit(1)
    archived = select(ArchivedScan.scan_id).where(
        ArchivedScan.job_id == job_id, ArchivedScan.verdict == Verdict.ACCEPTED
    )
    return session.scalar(live) is not None or session.scalar(archived.limit(1)) is not None


def touch(session: Session, archiving: Archiving, *, now: datetime) -> None:
    """Record that this process is alive. Raises Conflict if another process has taken over the job."""
    _held(session, archiving, touched_at=now)


def _held(session: Session, archiving: Archiving, **values: object) -> None:
    held = update(JobArchive).where(*_mine(archiving)).values(values).returning(JobArchive.job_id)
    if not session.scalars(held.execution_options(synchronize_session=False)).all():
        raise Conflict(f"another process works on job {archiving.job.id} now; leave it to that one")


def _mine(archiving: Archiving) -> tuple[ColumnElement[bool], ...]:
    return (
        JobArchive.job_id == archiving.job.id,
        JobArchive.begun_at == archiving.begun_at,
        JobArchive.attempt == archiving.attempt,
    )


def abandon(session: Session, archiving: Archiving) -> None:
    """Give up before anything is stored. The job is as it was before."""
    session.execute(delete(JobArchive).where(*_mine(archiving), JobArchive.state == ArchiveState.WRITING))


def note_stored(session: Session, archiving: Archiving, files: StoredFiles, *, now: datetime) -> None:
    """Record that the files are complete in the destination and were read back. From now on, steps may delete rows.

    Raises Conflict if the files do not have as many rows as the job.
    """
    rows = session.scalar(select(func.count()).select_from(Scan).where(Scan.job_id == archiving.job.id))
    if rows != files.scan_count:
        raise Conflict(
            f"job {archiving.job.id} has {rows} scans, and its archive {files.scan_count}; nothing was deleted"
        )
    _held(
        session,
        archiving,
        state=ArchiveState.STORED,
        touched_at=now,
        sha256=files.sha256,
        sources_key=files.sources_key,
        sources_sha256=files.sources_sha256,
        scan_count=files.scan_count,
    )
    session.execute(update(Job).where(Job.id == archiving.job.id).values(archive_key=files.key))


def step(session: Session, archiving: Archiving, *, keeps_traces: bool, most: int, now: datetime) -> int | None:
    """Delete about `most` scans, chunk by chunk in their order. Returns how many; None if no chunk is left.

    keeps_traces: whether the short rows of these scans are added to archived_scan. Raises Conflict as `touch`.
    """
    _held(session, archiving, touched_at=now)
    archive = session.get_one(JobArchive, archiving.job.id, populate_existing=True)
    chunk_ids = _chunks(session, archiving.job.id, archive.last_chunk_id, most)
    if not chunk_ids:
        return None
    moved = moves.move(session, archiving.job, chunk_ids, keeps_traces=keeps_traces)
    archive.last_chunk_id, archive.moved_count = chunk_ids[-1], archive.moved_count + moved
    session.flush()
    return moved


def _chunks(session: Session, job_id: int, after: int, most: int) -> list[int]:
    query = select(Chunk.id, Chunk.scan_count).where(Chunk.job_id == job_id, Chunk.id > after).order_by(Chunk.id)
    chosen, scans = list[int](), 0
    for chunk_id, count in session.execute(query.limit(_CHUNKS)):
        if chosen and scans + count > most:
            break
        chosen.append(chunk_id)
        scans += count
    return chosen


def finish(session: Session, archiving: Archiving, *, now: datetime) -> int:
    """Record that every row was moved. Returns how many. Raises Conflict if the count is not that of the archive."""
    archive = session.get_one(JobArchive, archiving.job.id, populate_existing=True)
    if archive.moved_count != archive.scan_count:
        raise Conflict(
            f"{archive.moved_count} scans of job {archiving.job.id} were moved, expected {archive.scan_count}"
        )
    _held(session, archiving, state=ArchiveState.DONE, touched_at=now)
    return archive.moved_count


def delete_rest(session: Session, archiving: Archiving, *, most: int, now: datetime) -> bool:
    """After the scans, delete a part of the job's other rows. Returns False when the job itself is deleted."""
    _held(session, archiving, touched_at=now)
    job_id = archiving.job.id
    for table, key, condition in (
        (ArchivedScan, ArchivedScan.scan_id, ArchivedScan.job_id == job_id),
        (Chunk, Chunk.id, Chunk.job_id == job_id),
    ):
        if _delete_some(session, table, key, condition, most):
            return True
    session.execute(delete(Job).where(Job.id == job_id))
    return False


def _delete_some(
    session: Session, table: type[ArchivedScan] | type[Chunk], key: object, condition: ColumnElement[bool], most: int
) -> bool:
    chosen = session.scalars(select(key).where(condition).limit(most)).all()  # type: ignore[call-overload]
    if chosen:
        session.execute(delete(table).where(condition, key.in_(chosen)))  # type: ignore[attr-defined]
    return bool(chosen)


def hold_rows(session: Session, job_id: int) -> None:
    """As `expect_rows`; and until the end of this transaction, nobody begins to archive or delete the job."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(read=True))
    expect_rows(session, job_id)


def expect_rows(session: Session, job_id: int) -> None:
    """Raises Conflict for a job whose rows are archived or deleted, or are about to be; NotFound if there is no job."""
    archive = session.get(JobArchive, job_id, populate_existing=True)
    if archive is None:
        lifecycle.get(session, job_id)
        return
    if archive.state == ArchiveState.DELETING:
        raise Conflict(f"job {job_id} is being deleted")
    raise Conflict(archived_sentence(lifecycle.get(session, job_id)))


def archived_sentence(job: Job) -> str:
    """A sentence that says where the rows of an archived job are."""
    if job.archive_key is None:
        return f"job {job.id} is being archived; its scans do not change any more"
    return f"job {job.id} is archived: its scans are in {job.destination}/{job.archive_key}"


def old_jobs(session: Session, *, ended_before: datetime, with_archived: bool) -> list[int]:
    """Jobs that ended before this time, the oldest first. `with_archived`: also those that are completely archived."""
    old = select(Job.id).where(Job.state.in_(JobState.ENDED), Job.finished_at < ended_before).order_by(Job.id)
    done = select(JobArchive.job_id).where(JobArchive.state == ArchiveState.DONE)
    return list(session.scalars(old if with_archived else old.where(Job.id.not_in(done))))
