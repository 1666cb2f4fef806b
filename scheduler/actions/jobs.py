"""Pause, resume, cancel, retry, and change the priority of a job."""

from sqlalchemy import Engine

from db.clock import database_now
from db.errors import UsageError
from db.models.jobs import JobState
from db.queries.access import audit
from db.queries.jobs import lifecycle, retries, samples
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.text import nearest
from worker.error_codes import ERROR_CODES

STATES = {"pause": JobState.PAUSED, "resume": JobState.RUNNING, "cancel": JobState.CANCELLED}


def change_state(engine: Engine, job_id: int, action: str, actor: Actor) -> str:
    """Change a job's state by `action`, one of STATES. Returns the new state.

    Raises NotFound, Conflict, DatabaseUnavailable.
    """
    with session_scope(engine) as session:
        now = database_now(session)
        if action == "cancel":
            samples.cancel(session, job_id, now=now)
        else:
            lifecycle.change_state(session, job_id, STATES[action], now=now)
        audit.note(session, actor.name, actor.via, action, now=now, job_id=job_id)
    return STATES[action]


def retry(engine: Engine, job_id: int, actor: Actor, *, code: str | None = None) -> int:
    """Try failed scans again, all or those with one code. Returns how many.

    Raises as `change_state`, and UsageError for a code that no scan can have.
    """
    if code is not None and code not in ERROR_CODES:
        raise UsageError(f"{code!r} is not an error code; {nearest(code, ERROR_CODES)}docs/error-codes.md lists them")
    with session_scope(engine) as session:
        now = database_now(session)
        count = retries.retry_failed(session, job_id, code=code, now=now)
        detail = {"scans": count, **({"code": code} if code else {})}
        audit.note(session, actor.name, actor.via, "retry", now=now, job_id=job_id, detail=detail)
    return count


def set_priority(engine: Engine, job_id: int, priority: int, actor: Actor) -> None:
    """Raises as `change_state`."""
    with session_scope(engine) as session:
        lifecycle.set_priority(session, job_id, priority)
        now = database_now(session)
        audit.note(session, actor.name, actor.via, "priority", now=now, job_id=job_id, detail={"priority": priority})
