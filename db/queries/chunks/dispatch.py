"""The queue: which pending chunks are sent to the broker, and which of the sent ones are sent again.

As in `chunks`, each change is one conditional UPDATE, so two schedulers can't both send a chunk.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, or_, select, update
from sqlalchemy.orm import Session

from db.models.jobs import OUT, UNFINISHED, Chunk, ChunkState, Job, JobState
from db.models.pool import Worker
from db.queries.chunks.checkpoints import is_free_to_all, serves_job
from db.queries.chunks.claims import ChunkMessage
from db.queries.limited import chosen_ids


def waiting_by_job(
    session: Session, *, now: datetime, limit: int, heard_after: datetime | None = None
) -> list[tuple[int, int, int, int]]:
    """Running jobs with chunks to dispatch, the urgent ones first: (job id, priority, waiting chunks, chunks that the
    broker or a worker has).

    limit: at most this many waiting chunks of a job are counted, because it makes no difference whether 1,000 or
    100,000 wait. heard_after: jobs that require a checkpoint are left out if no worker with it has sent a heartbeat
    since then.
    """
    waiting = _count(select(Chunk.id).where(Chunk.job_id == Job.id, *_dispatchable(now)).limit(limit))
    out = _count(select(Chunk.id).where(Chunk.job_id == Job.id, OUT))
    counted = (
        select(Job.id, Job.priority, waiting.label("waiting"), out.label("out"))
        .where(Job.state == JobState.RUNNING, *_served(heard_after))
        .subquery()
    )
    query = select(counted).where(counted.c.waiting > 0).order_by(counted.c.priority.desc(), counted.c.id)
    return [(row.id, row.priority, row.waiting, row.out) for row in session.execute(query)]


def _count(chunks: Select[int]) -> ScalarSelect[int]:
    """A subquery that counts the chunks of each job in the query around it."""
    return select(func.count()).select_from(chunks.correlate(Job).subquery()).scalar_subquery()


def _served(heard_after: datetime | None) -> list[ColumnElement[bool]]:
    if heard_after is None:
        return []
    live = Worker.stopped_at.is_(None), Worker.heartbeat_at >= heard_after
    serving = select(Worker.name).where(*live, serves_job()).correlate(Job)
    return [or_(is_free_to_all(), serving.exists())]


def take_for_dispatch(session: Session, job_id: int, count: int, *, now: datetime) -> list[ChunkMessage]:
    """Set up to `count` pending chunks of the job to queued, each under a new attempt.

    Takes none if the job no longer runs. The job's row stays locked until the transaction ends. Otherwise, after a
    pause or a cancel in between, the broker would have chunks that no worker may claim. If another transaction is
    changing the job, none is taken, so that other jobs need not wait.
    """
    runs = select(Job.id).where(Job.id == job_id, Job.state == JobState.RUNNING)
    runs = runs.with_for_update(read=True, skip_locked=True)
    if session.scalar(runs) is None:
        return []
    chosen = chosen_ids(
        select(Chunk.id)
        .where(Chunk.job_id == job_id, *_dispatchable(now))
        .order_by(Chunk.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Chunk)
        .where(Chunk.id == chosen.c.id, Chunk.state == ChunkState.PENDING)
        .values(state=ChunkState.QUEUED, attempt=Chunk.attempt + 1, queued_at=now, not_before=None)
        .returning(Chunk.id, Chunk.attempt)
        .execution_options(synchronize_session=False)
    )
    return sorted((ChunkMessage(row[0], row[1]) for row in rows), key=lambda message: message.chunk_id)


def queued_by_job(session: Session) -> list[tuple[int, int]]:
    """(priority, chunks with the broker) of each job that has some."""
    rows = session.execute(
        select(Job.priority, func.count())
        .join(Chunk, Chunk.job_id == Job.id)
        .where(Chunk.state == ChunkState.QUEUED, OUT)
        .group_by(Job.id, Job.priority)
    )
    return [(row[0], row[1]) for row in rows]


def take_back(session: Session, count: int, *, below_priority: int) -> int:
    """Set up to `count` queued chunks of less urgent jobs to pending again, the least urgent and newest first.

    Returns how many. If their messages still arrive, they claim nothing.
    """
    chosen = chosen_ids(
        select(Chunk.id)
        .join(Job, Job.id == Chunk.job_id)
        .where(Chunk.state == ChunkState.QUEUED, OUT, Job.priority < below_priority)
        .order_by(Job.priority, Chunk.id.desc())
        .limit(count)
        .with_for_update(of=Chunk, skip_locked=True)
    )
    chunk_ids = session.scalars(
        update(Chunk)
        .where(Chunk.id == chosen.c.id, Chunk.state == ChunkState.QUEUED)
        .values(state=ChunkState.PENDING, queued_at=None)
        .returning(Chunk.id)
        .execution_options(synchronize_session=False)
    )
    return len(chunk_ids.all())


def queued_count(session: Session, *, queued_before: datetime | None = None) -> int:
    """Chunks whose message is, or should be, with the broker."""
    query = select(func.count()).where(Chunk.state == ChunkState.QUEUED, OUT)
    if queued_before is not None:
        query = query.where(Chunk.queued_at < queued_before)
    return session.scalar(query) or 0


def take_for_resend(session: Session, count: int, *, queued_before: datetime, now: datetime) -> list[ChunkMessage]:
    """Up to `count` chunks that were sent before `queued_before` and that nobody has claimed, the oldest first.

    Their attempt stays the same: if the first message arrives after all, only one of the two can claim the chunk.
    """
    chosen = chosen_ids(
        select(Chunk.id)
        .where(Chunk.state == ChunkState.QUEUED, OUT, Chunk.queued_at < queued_before)
        .order_by(Chunk.queued_at, Chunk.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Chunk)
        .where(Chunk.id == chosen.c.id, Chunk.state == ChunkState.QUEUED)
        .values(queued_at=now)
        .returning(Chunk.id, Chunk.attempt)
        .execution_options(synchronize_session=False)
    )
    return [ChunkMessage(row[0], row[1]) for row in rows]


def _dispatchable(now: datetime) -> tuple[ColumnElement[bool], ...]:
    due = Chunk.not_before.is_(None) | (Chunk.not_before <= now)
    return Chunk.state == ChunkState.PENDING, UNFINISHED, due
