"""Approve or reject a job that waits for a choice from its sample."""

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.access import audit
from db.queries.jobs import samples
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.submission.sampling import chosen_options


def approve(engine: Engine, job_id: int, actor: Actor, *, head: str | None, saturation: float | None) -> None:
    """Let the other scans be coloured with this choice. Raises NotFound, Conflict, UsageError."""
    options = chosen_options(head, saturation)
    with session_scope(engine) as session:
        samples.approve(session, job_id, options)
        audit.note(session, actor.name, actor.via, "approve", now=database_now(session), job_id=job_id, detail=options)


def reject(engine: Engine, job_id: int, actor: Actor) -> None:
    """End the job and the unfinished jobs of its sample. Raises NotFound, Conflict."""
    with session_scope(engine) as session:
        now = database_now(session)
        samples.reject(session, job_id, now=now)
        audit.note(session, actor.name, actor.via, "reject_sample", now=now, job_id=job_id)
