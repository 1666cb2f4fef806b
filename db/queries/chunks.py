"""Chunks: dispatch, claim, record, hand back, finish, expire.

Each change is one conditional UPDATE whose row count is checked, so two processes that want the same
chunk can't both have it, whatever was delivered twice or late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, Update, func, insert, select, update
from sqlalchemy.orm import Session

from db.errors import LeaseLost
from db.models import Chunk, ChunkState, Job, JobState, Scan, ScanState


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker carries: nothing else is true of a chunk outside the database."""

    chunk_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a chunk, and the job it belongs to."""

    chunk_id: int
    attempt: int
    job: Job


def waiting_by_job(session: Session, *, now: datetime) -> list[tuple[int, int, int, int]]:
    """Running jobs with something to dispatch: (job id, priority, chunks that wait, chunks out), urgent first."""
    out = func.count().filter(Chunk.state.in_((ChunkState.QUEUED, ChunkState.LEASED)))
    waiting = func.count().filter(Chunk.state == ChunkState.PENDING, _is_due(now))
    rows = session.execute(
        select(Job.id, Job.priority, waiting, out)
        .join(Chunk, Chunk.job_id == Job.id)
        .where(Job.state == JobState.RUNNING, Chunk.state != ChunkState.DONE)
        .group_by(Job.id, Job.priority)
        .having(waiting > 0)
        .order_by(Job.priority.desc(), Job.id)
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def take_for_dispatch(session: Session, job_id: int, count: int, *, now: datetime) -> list[Message]:
    """Bring up to `count` pending chunks of a running job into the state queued, under a new attempt each."""
    # The lock makes a pause wait, and see what is queued here; or this sees the pause.
    runs = select(Job.id).where(Job.id == job_id, Job.state == JobState.RUNNING).with_for_update(read=True)
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


def claim(session: Session, message: Message, *, worker: str, lease_seconds: float, now: datetime) -> Claim | None:
    """Take the lease, or None when the message is stale: claimed before, sent again since, or its job stopped."""
    job_runs = select(Job.id).where(Job.id == Chunk.job_id, Job.state == JobState.RUNNING).exists()
    taken = _changes_one(
        session,
        update(Chunk)
        .where(
            Chunk.id == message.chunk_id,
            Chunk.attempt == message.attempt,
            Chunk.state == ChunkState.QUEUED,
            job_runs,
        )
        .values(
            state=ChunkState.LEASED,
            worker=worker,
            queued_at=None,
            lease_expires_at=now + timedelta(seconds=lease_seconds),
        ),
    )
    if not taken:
        return None
    job = session.scalars(select(Job).join(Chunk, Chunk.job_id == Job.id).where(Chunk.id == message.chunk_id)).one()
    return Claim(message.chunk_id, message.attempt, job)


def pending_scans(session: Session, chunk_id: int) -> list[Scan]:
    return list(
        session.scalars(
            select(Scan).where(Scan.chunk_id == chunk_id, Scan.state == ScanState.PENDING).order_by(Scan.id)
        )
    )


def extend(
    session: Session,
    message: Message,
    *,
    lease_seconds: float,
    now: datetime,
    done: int = 0,
    failed: int = 0,
    skipped: int = 0,
) -> bool:
    """Extend the lease and count what is recorded in the same transaction; False when the job no longer runs.

    Raises LeaseLost when the chunk is another attempt's by now.
    """
    kept = _changes_one(
        session,
        _held(message).values(
            lease_expires_at=now + timedelta(seconds=lease_seconds),
            recorded_at=now if done + failed + skipped else Chunk.recorded_at,
            done_count=Chunk.done_count + done,
            failed_count=Chunk.failed_count + failed,
            skipped_count=Chunk.skipped_count + skipped,
        ),
    )
    if not kept:
        raise lost(message)
    state = session.scalar(select(Job.state).join(Chunk, Chunk.job_id == Job.id).where(Chunk.id == message.chunk_id))
    return state == JobState.RUNNING


def lost(message: Message) -> LeaseLost:
    return LeaseLost(f"chunk {message.chunk_id} is no longer held by attempt {message.attempt}")


def release(session: Session, message: Message, *, not_before: datetime | None) -> None:
    """End the lease: done when none of its scans is pending, else pending again, not before the given time.

    Does nothing when the lease is lost already.
    """
    if not hold(session, message):
        return
    left = select(Scan.id).where(Scan.chunk_id == Chunk.id, Scan.state == ScanState.PENDING).exists()
    finished = _changes_one(session, _held(message).where(~left).values(_unheld(ChunkState.DONE)))
    if not finished:
        session.execute(_held(message).values({**_unheld(ChunkState.PENDING), "not_before": not_before}))


def hold(session: Session, message: Message) -> bool:
    """Lock the chunk's row for this transaction, if its lease is still this attempt's.

    What the next statement reads is then no older than the lock: PostgreSQL looks again at a row that it had to
    wait for, but not at what else the statement's condition names.
    """
    held = select(Chunk.id).where(
        Chunk.id == message.chunk_id, Chunk.attempt == message.attempt, Chunk.state == ChunkState.LEASED
    )
    return session.scalar(held.with_for_update()) is not None


def expired(session: Session, *, now: datetime, limit: int = 1000) -> list[Message]:
    """Chunks whose holder has not been heard of since its lease ended."""
    rows = session.execute(
        select(Chunk.id, Chunk.attempt)
        .where(Chunk.state == ChunkState.LEASED, Chunk.lease_expires_at < now)
        .order_by(Chunk.lease_expires_at)
        .limit(limit)
    )
    return [Message(row[0], row[1]) for row in rows]


def leased(session: Session) -> list[Message]:
    """Every chunk that somebody has a lease on."""
    rows = session.execute(select(Chunk.id, Chunk.attempt).where(Chunk.state == ChunkState.LEASED))
    return [Message(row[0], row[1]) for row in rows]


def held_by(session: Session, workers: Sequence[str]) -> list[Message]:
    """Chunks that one of these holders has a lease on."""
    rows = session.execute(
        select(Chunk.id, Chunk.attempt).where(Chunk.state == ChunkState.LEASED, Chunk.worker.in_(workers))
    )
    return [Message(row[0], row[1]) for row in rows]


def holders(session: Session, prefix: str) -> list[str]:
    """The names of holders that begin with `prefix`."""
    return list(
        session.scalars(
            select(Chunk.worker)
            .where(Chunk.state == ChunkState.LEASED, Chunk.worker.startswith(prefix, autoescape=True))
            .distinct()
        )
    )


def lose_lease(session: Session, message: Message, *, child_died: bool) -> tuple[int, int] | None:
    """Take the lease from a holder that is gone; None if it had ended.

    Returns how many leases this chunk has lost, and in how many of them a child died while its worker lived.
    """
    values = {
        **_unheld(ChunkState.PENDING),
        "lost_leases": Chunk.lost_leases + 1,
        "killed_children": Chunk.killed_children + int(child_died),
    }
    row = session.execute(_held(message).values(values).returning(Chunk.lost_leases, Chunk.killed_children)).first()
    return (row[0], row[1]) if row else None


def split(session: Session, chunk_id: int) -> list[int]:
    """Give each pending scan but the first a chunk of its own, so that a scan that kills its child stands alone.

    Returns the new chunks' ids. The chunk must be pending and this transaction must hold its row.
    """
    rest = pending_scans(session, chunk_id)[1:]
    if not rest:
        return []
    chunk = session.get_one(Chunk, chunk_id, populate_existing=True)
    losses = {"lost_leases": chunk.lost_leases, "killed_children": chunk.killed_children}
    new_ids = session.scalars(
        insert(Chunk).returning(Chunk.id, sort_by_parameter_order=True),
        [{"job_id": chunk.job_id, "scan_count": 1, **losses} for _ in rest],
    ).all()
    session.execute(
        update(Scan),
        [{"id": scan.id, "chunk_id": new_id} for scan, new_id in zip(rest, new_ids, strict=True)],
    )
    chunk.scan_count -= len(rest)
    session.flush()
    return list(new_ids)


def _is_due(now: datetime) -> ColumnElement[bool]:
    return Chunk.not_before.is_(None) | (Chunk.not_before <= now)


def _held(message: Message) -> Update:
    return (
        update(Chunk)
        .where(
            Chunk.id == message.chunk_id,
            Chunk.attempt == message.attempt,
            Chunk.state == ChunkState.LEASED,
        )
        .execution_options(synchronize_session=False)
    )


def _unheld(state: str) -> dict[str, object]:
    return {"state": state, "worker": None, "lease_expires_at": None, "queued_at": None}


def _changes_one(session: Session, statement: Update) -> bool:
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
