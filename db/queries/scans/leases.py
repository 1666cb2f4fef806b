"""What the holder of a lease records, and what happens to its chunk when the holder is gone."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.clock import database_clock
from db.errors import LeaseLost
from db.models.jobs import Chunk, ChunkState
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.scans import records as scans
from db.queries.scans.records import ScanRecord

WORKER_KILLED = "worker_killed"
# When a whole worker dies, all its chunks lose their leases, so this says little about one scan. Therefore a chunk may
# lose this many times more leases by deaths of workers than by deaths of a child alone.
INNOCENT = 5


def record(
    session: Session, message: ChunkMessage, records: Sequence[ScanRecord], *, lease_seconds: float, now: datetime
) -> bool:
    """Record the results of scans, count them, and extend the lease. Returns False if the job no longer runs.

    It may be called again after a broken connection, when nobody knows whether the first call was committed. Raises
    LeaseLost if the chunk belongs to another attempt now. If `claims.release` is called in the same transaction, the
    last record of a chunk needs no extra transaction.
    """
    runs = claims.extend(session, message, lease_seconds=lease_seconds, now=now)
    if records:
        scans.record(session, records)
        claims.recount(session, [message.chunk_id], now=now)
    return runs


def seconds_left(session: Session, message: ChunkMessage) -> float:
    """How long the lease lasts by the database's clock; negative if it is over, but nobody has taken it back yet.

    It is a single statement, because it runs for nearly every scan. Raises LeaseLost if the chunk belongs to another
    attempt now.
    """
    held = (Chunk.id == message.chunk_id, Chunk.attempt == message.attempt, Chunk.state == ChunkState.LEASED)
    row = session.execute(select(Chunk.lease_expires_at, database_clock(session)).where(*held)).first()
    if row is None or row[0] is None:
        raise LeaseLost(f"chunk {message.chunk_id} is no longer held by attempt {message.attempt}")
    return float((row[0] - row[1]).total_seconds())


def give_up(
    session: Session,
    message: ChunkMessage,
    *,
    chunk_attempts: int,
    now: datetime,
    child_died: bool = False,
    only_expired: bool = False,
) -> bool:
    """End the lease of a holder that is gone.

    Returns False if it had ended already, or if `only_expired` is set and it has not expired.

    The chunk is pending again. When it may lose only one more lease, each of its scans gets its own chunk. A scan that
    is alone in its chunk and loses the last lease fails, because every process that opened it has died. child_died:
    only a child died, perhaps because of the scan that it opened, and not its worker or the machine.
    """
    losses = claims.lose_lease(session, message, child_died=child_died, expired_before=now if only_expired else None)
    if losses is None:
        return False
    lost, killed = losses
    if lost >= chunk_attempts - 1:
        parted = claims.split(session, message.chunk_id)
        if not parted and (killed >= chunk_attempts or lost >= chunk_attempts * INNOCENT):
            scans.fail_pending(
                session,
                message.chunk_id,
                code=WORKER_KILLED,
                message=f"each of the {lost} workers that took this scan died, or was not heard of again; "
                "look at the scan, then: photochrom retry",
                now=now,
            )
    return True
