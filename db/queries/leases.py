"""What becomes of a chunk whose holder is gone."""

from datetime import datetime

from sqlalchemy.orm import Session

from db.queries import chunks, scans
from db.queries.chunks import Message

WORKER_KILLED = "worker_killed"


def give_up(
    session: Session, message: Message, *, chunk_attempts: int, now: datetime, only_expired: bool = False
) -> bool:
    """End the lease of a holder that is gone; False when it had ended already, or is not `only_expired`'s.

    The chunk goes back to pending. When one lease is left to lose, its scans part, each into a chunk of its own;
    a scan that stands alone and loses the last one fails: whatever opened it died of it every time.
    """
    lost = chunks.lose_lease(session, message, expired_before=now if only_expired else None)
    if lost is None:
        return False
    if lost >= chunk_attempts - 1:
        parted = chunks.split(session, message.chunk_id)
        if not parted and lost >= chunk_attempts:
            scans.fail_pending(
                session,
                message.chunk_id,
                code=WORKER_KILLED,
                message=f"each of the {lost} workers that took this scan died, or was not heard of again; "
                "look at the scan, then: photochrom retry",
                now=now,
            )
    return True
