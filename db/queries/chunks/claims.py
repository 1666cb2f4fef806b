"""Chunks: claim, record, hand back, finish, expire. `queue` has how they are dispatched.

Each change is one conditional UPDATE whose row count is checked, so two processes can't both get the same chunk, even
if a message is delivered twice or late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, Update, case, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session, load_only

from db.errors import LeaseLost
from db.models.base import UtcDateTime
from db.models.jobs import OUT, UNFINISHED, Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.models.pool import Worker
from db.queries import bulk
from db.queries.chunks import tallies
from db.queries.chunks.checkpoints import is_free_to_all, serves_job
from db.queries.substrings import begins_with


@dataclass(frozen=True, slots=True)
class ChunkMessage:
    """What the broker carries. Everything else about a chunk is only in the database."""

    chunk_id: int
    attempt: int


_HAS_NOTHING_LEFT = Chunk.scan_count == Chunk.done_count + Chunk.failed_count + Chunk.skipped_count
# What a scan's row holds before it is coloured: a third of its columns.
_LISTED = (
    Scan.job_id,
    Scan.chunk_id,
    Scan.state,
    Scan.attempts,
    Scan.error_code,
    Scan.source_key,
    Scan.source_etag,
    Scan.source_bytes,
    Scan.output_key,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a chunk, and the job it belongs to."""

    chunk_id: int
    attempt: int
    job: Job
    scans: Sequence[Scan]  # the pending ones, without the columns that only a result fills


def claim(session: Session, message: ChunkMessage, *, worker: str, lease_seconds: float, now: datetime) -> Claim | None:
    """Take the lease. Returns None if the message is stale: the chunk was claimed or sent again since, or its job was
    stopped.

    Also returns None if the job requires another checkpoint than the worker's. The chunk is then sent again, until a
    worker with that checkpoint gets it.
    """
    serving = select(Worker.name).where(Worker.name == worker.rpartition("/")[0], serves_job()).correlate(Job)
    meant = or_(is_free_to_all(), serving.exists())
    job_runs = select(Job.id).where(Job.id == Chunk.job_id, Job.state == JobState.RUNNING, meant).exists()
    is_leased = _changes_one(
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
            started_at=func.coalesce(Chunk.started_at, literal(now, UtcDateTime())),
            lease_expires_at=now + timedelta(seconds=lease_seconds),
        ),
    )
    if not is_leased:
        return None
    job = session.scalars(select(Job).join(Chunk, Chunk.job_id == Job.id).where(Chunk.id == message.chunk_id)).one()
    return Claim(message.chunk_id, message.attempt, job, pending_scans(session, message.chunk_id))


def pending_scans(session: Session, chunk_id: int) -> list[Scan]:
    return list(
        session.scalars(
            select(Scan)
            .where(Scan.chunk_id == chunk_id, Scan.state == ScanState.PENDING)
            .order_by(Scan.id)
            .options(load_only(*_LISTED, raiseload=True))
        )
    )


def extend(session: Session, message: ChunkMessage, *, lease_seconds: float, now: datetime) -> bool:
    """Extend the lease. Returns False if the job no longer runs.

    Raises LeaseLost if the chunk belongs to another attempt now. The chunk's row stays locked until the transaction
    ends, so no other attempt can begin before the records of this transaction are written.
    """
    values = {"lease_expires_at": now + timedelta(seconds=lease_seconds)}
    state_of_job = select(Job.state).where(Job.id == Chunk.job_id).correlate(Chunk).scalar_subquery()
    state = session.execute(_held(message).values(values).returning(state_of_job)).first()
    if state is None:
        raise LeaseLost(f"chunk {message.chunk_id} is no longer held by attempt {message.attempt}")
    return bool(state[0] == JobState.RUNNING)


def recount(session: Session, chunk_ids: Sequence[int], *, now: datetime, is_retry: bool = False) -> None:
    """Count the chunks' scans by state again, after some were changed.

    The counts are set, not added to, so a record that is repeated after a broken connection counts once. is_retry: some
    of the scans had ended and are pending again.
    """

    # The inner query has no condition on the state. With statistics that are older than the scans, PostgreSQL would
    # choose the index by state, and read every scan that is done.
    states = {"done_count": ScanState.DONE, "failed_count": ScanState.FAILED, "skipped_count": ScanState.SKIPPED}
    counts = [func.count().filter(Scan.state == state).label(name) for name, state in states.items()]
    counted = select(Scan.chunk_id, *counts).where(Scan.chunk_id.in_(chunk_ids)).group_by(Scan.chunk_id).subquery()
    session.execute(
        update(Chunk)
        .where(Chunk.id == counted.c.chunk_id)
        .values({**{name: counted.c[name] for name in states}, "recorded_at": now})
        .execution_options(synchronize_session=False)
    )
    tallies.count(session, chunk_ids, is_retry=is_retry)


def release(session: Session, message: ChunkMessage, *, not_before: datetime | None) -> None:
    """End the lease. The chunk is done if none of its scans is pending; otherwise it is pending again, not before
    `not_before`.

    Does nothing if the lease is already lost.
    """
    # The counts in the chunk's own row decide: after waiting for the row's lock, the statement sees their new values.
    later = literal(not_before, UtcDateTime())
    values = {
        **_unheld(ChunkState.PENDING),
        "state": case((_HAS_NOTHING_LEFT, ChunkState.DONE), else_=ChunkState.PENDING),
        "not_before": case((_HAS_NOTHING_LEFT, None), else_=later),
    }
    _changes_one(session, _held(message).values(values))


def finish(session: Session, chunk_id: int) -> None:
    """Set a pending chunk without pending scans to done. Its counts must be up to date."""
    session.execute(
        update(Chunk)
        .where(Chunk.id == chunk_id, Chunk.state == ChunkState.PENDING, _HAS_NOTHING_LEFT)
        .values(state=ChunkState.DONE, not_before=None)
        .execution_options(synchronize_session=False)
    )


def reopen(session: Session, chunk_ids: Sequence[int]) -> None:
    """Reopen chunks that have pending scans again: set their lost leases to 0, and done chunks to pending."""
    again = case((Chunk.state == ChunkState.DONE, ChunkState.PENDING), else_=Chunk.state)
    session.execute(
        update(Chunk)
        .where(Chunk.id.in_(chunk_ids))
        .values(state=again, lost_leases=0, killed_children=0)
        .execution_options(synchronize_session=False)
    )


def end_pauses(session: Session, job_id: int) -> None:
    """Make the job's chunks that wait for their next attempt due now."""
    session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.state == ChunkState.PENDING, UNFINISHED, Chunk.not_before.is_not(None))
        .values(not_before=None)
        .execution_options(synchronize_session=False)
    )


def expired(session: Session, *, now: datetime, limit: int = 1000) -> list[ChunkMessage]:
    """Chunks whose lease has expired: their holder recorded nothing in time."""
    rows = session.execute(
        select(Chunk.id, Chunk.attempt)
        .where(Chunk.state == ChunkState.LEASED, OUT, Chunk.lease_expires_at < now)
        .order_by(Chunk.lease_expires_at)
        .limit(limit)
    )
    return [ChunkMessage(row[0], row[1]) for row in rows]


def held_by(session: Session, workers: Sequence[str]) -> list[ChunkMessage]:
    """Chunks on which one of these holders has a lease."""
    rows = session.execute(
        select(Chunk.id, Chunk.attempt).where(Chunk.state == ChunkState.LEASED, OUT, Chunk.worker.in_(workers))
    )
    return [ChunkMessage(row[0], row[1]) for row in rows]


def holders(session: Session, prefix: str) -> list[str]:
    """The names of holders that begin with `prefix`."""
    return list(
        session.scalars(
            select(Chunk.worker)
            .where(Chunk.state == ChunkState.LEASED, OUT, begins_with(Chunk.worker, prefix))
            .distinct()
        )
    )


def lose_lease(
    session: Session, message: ChunkMessage, *, child_died: bool = False, expired_before: datetime | None = None
) -> tuple[int, int] | None:
    """Take the lease from a holder that is gone.

    Returns None if the lease had ended, or was extended after `expired_before`.

    Also returns None while another process holds the chunk's row, because a process that froze while writing must not
    stop the caller. Try again later. Otherwise returns how many leases this chunk has lost, and in how many of them
    only a child died and its worker did not.
    """
    free = select(Chunk.id).where(Chunk.id == message.chunk_id).with_for_update(skip_locked=True)
    lease = _held(message).where(Chunk.id == free.scalar_subquery())
    if expired_before is not None:
        lease = lease.where(Chunk.lease_expires_at < expired_before)
    values = {
        **_unheld(ChunkState.PENDING),
        "lost_leases": Chunk.lost_leases + 1,
        "killed_children": Chunk.killed_children + int(child_died),
    }
    row = session.execute(lease.values(values).returning(Chunk.lost_leases, Chunk.killed_children)).first()
    return (row[0], row[1]) if row else None


def split(session: Session, chunk_id: int) -> list[int]:
    """Give each pending scan except the first its own chunk, so that a scan that kills its child is alone in its chunk.

    Returns the new chunks' ids. The chunk must be pending and this transaction must hold its row.
    """
    later_scans = pending_scans(session, chunk_id)[1:]
    if not later_scans:
        return []
    chunk = session.get_one(Chunk, chunk_id, populate_existing=True)
    losses = {"lost_leases": chunk.lost_leases, "killed_children": chunk.killed_children}
    new_ids = session.scalars(
        insert(Chunk).returning(Chunk.id, sort_by_parameter_order=True),
        [{"job_id": chunk.job_id, "scan_count": 1, **losses} for _ in later_scans],
    ).all()
    bulk.update_scans(
        session, [{"id": scan.id, "chunk_id": new_id} for scan, new_id in zip(later_scans, new_ids, strict=True)]
    )
    chunk.scan_count -= len(later_scans)
    session.flush()
    return list(new_ids)


def _held(message: ChunkMessage) -> Update:
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
