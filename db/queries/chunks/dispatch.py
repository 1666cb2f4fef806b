"""The queue: which pending chunks go to the broker, and which of those that did go again.

As in `chunks`, each change is one conditional UPDATE, so two schedulers can't both send a chunk.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from db.models.jobs import Chunk, ChunkState, Job, JobState
from db.models.pool import Worker
from db.queries.chunks.claims import WANTED_CHECKPOINT, Message


def waiting_by_job(
    session: Session, *, now: datetime, heard_after: datetime | None = None
) -> list[tuple[int, int, int, int]]:
    """Running jobs with something to dispatch: (job id, priority, chunks that wait, chunks out), urgent first.

    heard_after: leave out jobs that are meant for a checkpoint of which no worker has been heard since.
    """
    out = func.count().filter(Chunk.state.in_((ChunkState.QUEUED, ChunkState.LEASED)))
    waiting = func.count().filter(Chunk.state == ChunkState.PENDING, _is_due(now))
    rows = session.execute(
        select(Job.id, Job.priority, waiting, out)
        .join(Chunk, Chunk.job_id == Job.id)
        .where(Job.state == JobState.RUNNING, Chunk.state != ChunkState.DONE, *_served(heard_after))
        .group_by(Job.id, Job.priority)
        .having(waiting > 0)
        .order_by(Job.priority.desc(), Job.id)
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _served(heard_after: datetime | None) -> list[ColumnElement[bool]]:
    if heard_after is None:
        return []
    live = select(Worker.checkpoint).where(Worker.stopped_at.is_(None), Worker.heartbeat_at >= heard_after)
    return [or_(WANTED_CHECKPOINT.is_(None), WANTED_CHECKPOINT.in_(live))]


def take_for_dispatch(session: Session, job_id: int, count: int, *, now: datetime) -> list[Message]:
    """Bring up to `count` pending chunks of the job into the state queued, under a new attempt each.

    None of a job that no longer runs: its row is locked meanwhile, so that no pause or cancel falls in between
    and leaves chunks with the broker that nobody may claim. None either while somebody else changes the job: others
    must not wait for that.
    """
    runs = select(Job.id).where(Job.id == job_id, Job.state == JobState.RUNNING)
    runs = runs.with_for_update(read=True, skip_locked=True)
    if session.scalar(runs) is None:
        return []
    chosen = (
        select(Chunk.id)
        .where(Chunk.job_id == job_id, Chunk.state == ChunkState.PENDING, _is_due(now))
        .order_by(Chunk.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Chunk)
        .where(Chunk.id.in_(chosen.scalar_subquery()), Chunk.state == ChunkState.PENDING)
        .values(state=ChunkState.QUEUED, attempt=Chunk.attempt + 1, queued_at=now, not_before=None)
        .returning(Chunk.id, Chunk.attempt)
        .execution_options(synchronize_session=False)
    )
    return sorted((Message(row[0], row[1]) for row in rows), key=lambda message: message.chunk_id)


def queued_by_job(session: Session) -> list[tuple[int, int]]:
    """(priority, chunks with the broker) of each job that has some."""
    rows = session.execute(
        select(Job.priority, func.count())
        .join(Chunk, Chunk.job_id == Job.id)
        .where(Chunk.state == ChunkState.QUEUED)
        .group_by(Job.id, Job.priority)
    )
    return [(row[0], row[1]) for row in rows]


def take_back(session: Session, count: int, *, below_priority: int) -> int:
    """Bring up to `count` queued chunks of less urgent jobs back to pending, the least urgent and newest first.

    Returns how many. Their messages, should they arrive, claim nothing.
    """
    chosen = (
        select(Chunk.id)
        .join(Job, Job.id == Chunk.job_id)
        .where(Chunk.state == ChunkState.QUEUED, Job.priority < below_priority)
        .order_by(Job.priority, Chunk.id.desc())
        .limit(count)
        .with_for_update(of=Chunk, skip_locked=True)
    )
    taken = session.scalars(
        update(Chunk)
        .where(Chunk.id.in_(chosen.scalar_subquery()), Chunk.state == ChunkState.QUEUED)
        .values(state=ChunkState.PENDING, queued_at=None)
        .returning(Chunk.id)
        .execution_options(synchronize_session=False)
    )
    return len(taken.all())


def queued_count(session: Session, *, queued_before: datetime | None = None) -> int:
    """Chunks whose message is, or should be, with the broker."""
    query = select(func.count()).where(Chunk.state == ChunkState.QUEUED)
    if queued_before is not None:
        query = query.where(Chunk.queued_at < queued_before)
    return session.scalar(query) or 0


def take_for_resend(session: Session, count: int, *, queued_before: datetime, now: datetime) -> list[Message]:
    """Up to `count` chunks that have lain unclaimed since before `queued_before`, the oldest first.

    Their attempt stays: should the first message turn up after all, only one of the two can claim.
    """
    chosen = (
        select(Chunk.id)
        .where(Chunk.state == ChunkState.QUEUED, Chunk.queued_at < queued_before)
        .order_by(Chunk.queued_at, Chunk.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Chunk)
        .where(Chunk.id.in_(chosen.scalar_subquery()), Chunk.state == ChunkState.QUEUED)
        .values(queued_at=now)
        .returning(Chunk.id, Chunk.attempt)
        .execution_options(synchronize_session=False)
    )
    return [Message(row[0], row[1]) for row in rows]


def _is_due(now: datetime) -> ColumnElement[bool]:
    return Chunk.not_before.is_(None) | (Chunk.not_before <= now)
