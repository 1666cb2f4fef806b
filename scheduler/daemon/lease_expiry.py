"""Sets chunks with an expired lease to pending, and jobs without unfinished chunks to completed."""

import logging

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.chunks import claims
from db.queries.jobs import lifecycle
from db.queries.scans import leases
from db.session import read_scope, session_scope

logger = logging.getLogger(__name__)


def expire(engine: Engine, *, chunk_attempts: int) -> int:
    """Take back every expired lease, each in its own transaction. Returns how many."""
    with read_scope(engine) as session:
        now = database_now(session)
        expired = claims.expired(session, now=now)
    count = 0
    for message in expired:
        with session_scope(engine) as session:
            gone = leases.give_up(session, message, chunk_attempts=chunk_attempts, now=now, only_expired=True)
        if gone:
            count += 1
            logger.warning(
                "chunk %d: the lease of attempt %d expired",
                message.chunk_id,
                message.attempt,
                extra={"chunk": message.chunk_id},
            )
    return count


def complete_jobs(engine: Engine) -> list[int]:
    """Abort the jobs with too many failed scans, then complete finished jobs. Returns the completed ones."""
    with session_scope(engine) as session:
        now = database_now(session)
        for job_id in lifecycle.abort_failing(session, now=now):
            logger.warning("job %d is aborted: more of its scans failed than it allows", job_id, extra={"job": job_id})
        completed = lifecycle.complete_finished(session, now=now)
    for job_id in completed:
        logger.info("job %d is completed", job_id, extra={"job": job_id})
    return completed
