"""What the holder of a lease records, and what becomes of its chunk when it is gone."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.scans import records as scans
from db.queries.scans.records import ScanRecord

WORKER_KILLED = "worker_killed"
# A worker that dies takes every chunk in its hands with it, so that alone says little about a scan: it may be
# there so many times as often as one whose child died and whose worker lived.
INNOCENT = 5


def record(
    session: Session, message: ChunkMessage, records: Sequence[ScanRecord], *, lease_seconds: float, now: datetime
) -> bool:
    """Write what became of scans, count it, and extend the lease; False when the job no longer runs.

    Safe to call again when the connection broke and nobody knows whether the first call was committed.
    Raises LeaseLost when the chunk is another attempt's by now.
    """
    runs = claims.extend(session, message, lease_seconds=lease_seconds, now=now)
    if records:
        scans.record(session, records)
        claims.recount(session, [message.chunk_id], now=now)
    return runs


def give_up(
    session: Session,
    message: ChunkMessage,
    *,
    chunk_attempts: int,
    now: datetime,
    child_died: bool = False,
    only_expired: bool = False,
) -> bool:
    """End the lease of a holder that is gone; False when it had ended already, or is not `only_expired`'s.

    The chunk goes back to pending. When one lease is left to lose, its scans part, each into a chunk of its own;
    a scan that stands alone and loses the last one fails: whatever opened it died of it every time.
    child_died: whether a child died alone, as of the scan it opened, and not its worker or the machine.
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
