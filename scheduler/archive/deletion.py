"""Deletes rows in steps, with a pause after each, so that it does not slow down a running pool."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.access import audit
from db.queries.archives import progress
from db.queries.archives.progress import Archiving
from db.session import session_scope
from scheduler.access.actor import Actor


@dataclass(frozen=True, slots=True)
class Pace:
    """`step_scans`: most scans in one transaction. `rest`: the pause after each step, as a multiple of its time."""

    step_scans: int = 500
    rest: float = 2.0
    sleep: Callable[[float], None] = time.sleep


def delete_scans(
    engine: Engine, archiving: Archiving, pace: Pace, *, keeps_traces: bool, show: Callable[[int], None]
) -> int:
    """Delete every scan of the job, in steps. Returns how many this call deleted. Raises Conflict,
    DatabaseUnavailable.
    """
    deleted = 0
    while (moved := _step(engine, archiving, pace, keeps_traces=keeps_traces)) is not None:
        deleted += moved
        show(deleted)
    return deleted


def _step(engine: Engine, archiving: Archiving, pace: Pace, *, keeps_traces: bool) -> int | None:
    began = time.monotonic()
    with session_scope(engine) as session:
        now = database_now(session)
        moved = progress.step(session, archiving, keeps_traces=keeps_traces, most=pace.step_scans, now=now)
    pace.sleep((time.monotonic() - began) * pace.rest)
    return moved


def delete_job(
    engine: Engine, job_id: int, actor: Actor, pace: Pace, *, forget_accepted: bool, show: Callable[[int], None]
) -> int:
    """Delete a job with all its rows, or continue a deletion. Returns how many scans this call deleted.

    Outputs, report and archive stay, and an output still belongs to its source. Raises NotFound, Conflict,
    DatabaseUnavailable.
    """
    with session_scope(engine) as session:
        now = database_now(session)
        archiving = progress.begin_deletion(session, job_id, forget_accepted=forget_accepted, now=now)
        audit.note(session, actor.name, actor.via, "delete", now=now, job_id=job_id)
    deleted = delete_scans(engine, archiving, pace, keeps_traces=False, show=show)
    while _delete_rest(engine, archiving, pace):
        pass
    return deleted


def _delete_rest(engine: Engine, archiving: Archiving, pace: Pace) -> bool:
    began = time.monotonic()
    with session_scope(engine) as session:
        is_left = progress.delete_rest(session, archiving, most=pace.step_scans, now=database_now(session))
    pace.sleep((time.monotonic() - began) * pace.rest)
    return is_left
