"""Accept, reject and redo outputs; take a verdict back; choose between two results."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.clock import database_now
from db.errors import Conflict, NotFound
from db.models.jobs import Scan, ScanState
from db.models.reviews import Verdict
from db.queries.access import audit
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.reports.reviews import By
from db.session import session_scope
from scheduler.actions.actor import Actor

VERDICTS = {"accept": Verdict.ACCEPTED, "reject": Verdict.REJECTED}
MOST_AT_ONCE = 1_000  # scans in one request; a person does not review more at once

Seen = Mapping[int, int | None]  # by the scan's id: the review that the reviewer saw; None for none


def decide(
    engine: Engine,
    job_id: int,
    scan_ids: Sequence[int],
    action: str,
    actor: Actor,
    *,
    note: str | None = None,
    seen: Seen | None = None,
) -> int:
    """Record a verdict; `action`: accept or reject. Returns how many outputs.

    Raises NotFound, Conflict (see reviews.decide).
    """
    with session_scope(engine) as session:
        scans = outputs(session, job_id, scan_ids)
        now = database_now(session)
        reviews.decide(session, scans, VERDICTS[action], By(actor.name, now, note), seen=seen)
        detail = {"scans": [scan.id for scan in scans][:MOST_AT_ONCE]}
        audit.note(session, actor.name, actor.via, action, now=now, job_id=job_id, detail=detail)
    return len(scans)


def redo(
    engine: Engine,
    job_id: int,
    scan_ids: Sequence[int],
    actor: Actor,
    *,
    options: Mapping[str, Any],
    chunk_scans: int,
    note: str | None = None,
    seen: Seen | None = None,
    keep_earlier: bool = True,
) -> int:
    """Make outputs again, beside the earlier ones or in their place. Returns the new job's number. Raises as `decide`.

    options: the options that differ from the job's: checkpoint, head ...
    """
    with session_scope(engine) as session:
        scans = outputs(session, job_id, scan_ids)
        now, job = database_now(session), lifecycle.get(session, job_id)
        by = By(actor.name, now, note)
        redo_job_id = reviews.redo(
            session,
            job,
            scans,
            by,
            options=dict(options),
            chunk_scans=chunk_scans,
            keep_earlier=keep_earlier,
            seen=seen,
        )
        detail = {
            "scans": [scan.id for scan in scans][:MOST_AT_ONCE],
            "redo_job": redo_job_id,
            "options": dict(options),
        }
        audit.note(session, actor.name, actor.via, "redo", now=now, job_id=job_id, detail=detail)
    return redo_job_id


def choose(engine: Engine, job_id: int, scan_id: int, chosen: str, actor: Actor, *, chunk_scans: int) -> int | None:
    """Keep the earlier output ("earlier"), or replace it by the new one ("new").

    Returns the job that replaces it, or None.

    The pages write nothing into the stores, so a worker colours the scan once more, with the options of the new output.
    Raises NotFound, Conflict.
    """
    with session_scope(engine) as session:
        [scan] = outputs(session, job_id, [scan_id])
        now, again = database_now(session), reviews.redone(session, scan)
        if again is None:
            raise Conflict(f"scan {scan_id} of job {job_id} was not made anew; there is nothing to choose between")
        by, redo_job_id = By(actor.name, now), None
        if chosen == "new":
            redo_job_id = _replace(session, job_id, scan, again[0], again[1].options, by, chunk_scans)
        else:
            reviews.decide(session, [scan], Verdict.ACCEPTED, by)
        detail = {"scan": scan_id, "chosen": chosen}
        audit.note(session, actor.name, actor.via, "choose", now=now, job_id=job_id, detail=detail)
    return redo_job_id


def _replace(
    session: Session, job_id: int, scan: Scan, again: Scan, options: dict[str, Any], by: By, chunk_scans: int
) -> int:
    if again.state != ScanState.DONE:
        raise Conflict(f"the new result of {scan.source_key} is {again.state}; choose it when it is done")
    job = lifecycle.get(session, job_id)
    kept = {**options, "bag": job.options.get("bag", False)}
    return reviews.redo(session, job, [scan], by, options=kept, chunk_scans=chunk_scans)


def undo(engine: Engine, job_id: int, actor: Actor, *, scan_id: int | None = None) -> int:
    """Take back the actor's latest verdict in the job, or on one scan. Returns the scan's id. Raises Conflict."""
    with session_scope(engine) as session:
        scan, review = reviews.undo(session, job_id, actor.name, scan_id=scan_id)
        detail = {"scans": [scan.id], "verdict": review.verdict}
        now = database_now(session)
        audit.note(session, actor.name, actor.via, "undo", now=now, job_id=job_id, detail=detail)
    return scan.id


def outputs(session: Session, job_id: int, scan_ids: Sequence[int]) -> list[Scan]:
    """The job's done scans with these ids. Raises NotFound for an id without one."""
    ids = sorted(set(scan_ids))
    scans: list[Scan] = []
    for start in range(0, len(ids), MOST_AT_ONCE):  # a statement may have only so many values
        part = Scan.id.in_(ids[start : start + MOST_AT_ONCE])
        query = select(Scan).where(Scan.job_id == job_id, part, Scan.state == ScanState.DONE)
        scans += session.scalars(query.order_by(Scan.id))
    if missing := set(ids) - {scan.id for scan in scans}:
        raise NotFound(f"job {job_id} has no output for scan {min(missing)}; photochrom scans {job_id} lists its scans")
    return scans
