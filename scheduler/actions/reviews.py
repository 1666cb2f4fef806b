"""Accept, reject and redo outputs; take a verdict back; choose between two results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.clock import database_now
from db.errors import Conflict, NotFound
from db.models.jobs import Job, Scan, ScanState
from db.models.reviews import Verdict
from db.queries.access import audit
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.reports.reviews import By
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.actions.model_choices import expect_available
from scheduler.submission.checkpoints import redo_options
from worker.settings.settings import Settings

VERDICTS = {"accept": Verdict.ACCEPTED, "reject": Verdict.REJECTED}
CHOICES = {"keep": "earlier", "take": "new"}  # which of the two results of a redone output to keep
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
    settings: Settings,
    job_id: int,
    scan_ids: Sequence[int],
    actor: Actor,
    *,
    changes: Mapping[str, Any],
    note: str | None = None,
    seen: Seen | None = None,
    record: Callable[[Session, int], None] = lambda *_: None,
) -> int:
    """Make outputs again, beside the earlier ones. Returns the new job's number.

    changes: the options that differ from the job's: checkpoint, head ... record: called with the new job's number in
    the transaction that makes it. Raises as `decide`, and UsageError for a checkpoint, head or embedding that nobody
    has.
    """
    with session_scope(engine) as session:
        scans = outputs(session, job_id, scan_ids)
        now, job = database_now(session), lifecycle.get(session, job_id)
        expect_available(session, settings, changes, job_options=job.options)
        options, by = redo_options(settings, changes), By(actor.name, now, note)
        redo_job_id = reviews.redo(
            session,
            job,
            scans,
            by,
            options=options,
            chunk_scans=settings.chunk_scans,
            keep_earlier=True,
            seen=seen,
        )
        detail = {"scans": [scan.id for scan in scans][:MOST_AT_ONCE], "redo_job": redo_job_id, "options": options}
        audit.note(session, actor.name, actor.via, "redo", now=now, job_id=job_id, detail=detail)
        record(session, redo_job_id)
    return redo_job_id


def choose(
    engine: Engine,
    job_id: int,
    scan_ids: Sequence[int],
    chosen: str,
    actor: Actor,
    *,
    chunk_scans: int,
    note: str | None = None,
    seen: Seen | None = None,
    record: Callable[[Session, list[int]], None] = lambda *_: None,
) -> list[int]:
    """Keep the earlier outputs ("earlier"), or replace them by the new ones ("new").

    Returns the jobs that replace them, for which `record` is called in the transaction that makes them. The pages write
    nothing into the stores, so a worker colours the scans once more, with the options of the new outputs: one job for
    each redo. Raises NotFound; Conflict if there is nothing to choose between (any more), and then changes nothing.
    """
    with session_scope(engine) as session:
        scans, by = outputs(session, job_id, scan_ids), By(actor.name, database_now(session), note)
        reviews.hold(session, scans)
        reviews.expect_seen(session, scans, seen)
        results = [_two_results(session, scan, chosen) for scan in scans]
        redo_job_ids = []
        if chosen == "new":
            redo_job_ids = [_replace(session, job_id, group, by, chunk_scans) for group in _by_redo_job(scans, results)]
        else:
            reviews.decide(session, scans, Verdict.ACCEPTED, by)
        detail = {"scans": [scan.id for scan in scans][:MOST_AT_ONCE], "chosen": chosen}
        audit.note(session, actor.name, actor.via, "choose", now=by.reviewed_at, job_id=job_id, detail=detail)
        record(session, redo_job_ids)
    return redo_job_ids


def _two_results(session: Session, scan: Scan, chosen: str) -> Job:
    """The job that made the scan's output again and kept the earlier output. Raises Conflict if there is none."""
    again = reviews.redone(session, scan)
    if again is None or not (again[1].selection or {}).get("beside"):
        raise Conflict(
            f"{scan.source_key} has no two results to choose between: it was not redone, or somebody has chosen since"
        )
    if chosen == "new" and again[0].state != ScanState.DONE:
        raise Conflict(f"the new output of {scan.source_key} is {again[0].state}; choose when it is done")
    return again[1]


def _by_redo_job(scans: Sequence[Scan], jobs: Sequence[Job]) -> list[tuple[Job, list[Scan]]]:
    groups: dict[int, tuple[Job, list[Scan]]] = {}
    for scan, job in zip(scans, jobs, strict=True):
        groups.setdefault(job.id, (job, []))[1].append(scan)
    return list(groups.values())


def _replace(session: Session, job_id: int, group: tuple[Job, list[Scan]], by: By, chunk_scans: int) -> int:
    redo_job, scans = group
    job = lifecycle.get(session, job_id)
    kept = {**redo_job.options, "bag": job.options.get("bag", False)}
    return reviews.redo(session, job, scans, by, options=kept, chunk_scans=chunk_scans)


def undo(engine: Engine, job_id: int, actor: Actor, *, scan_id: int | None = None) -> int:
    """Take back the actor's latest verdict in the job, or on one scan. Returns the scan's id. Raises Conflict."""
    with session_scope(engine) as session:
        scan, review = reviews.undo(session, job_id, actor.name, scan_id=scan_id)
        detail = {"scans": [scan.id], "verdict": review.verdict}
        now = database_now(session)
        audit.note(session, actor.name, actor.via, "undo", now=now, job_id=job_id, detail=detail)
    return scan.id


def outputs(session: Session, job_id: int, scan_ids: Sequence[int]) -> list[Scan]:
    """The job's done scans with these ids. Raises NotFound if an id is not that of a done scan of the job."""
    ids = sorted(set(scan_ids))
    scans: list[Scan] = []
    for start in range(0, len(ids), MOST_AT_ONCE):  # the number of values in a statement is limited
        part = Scan.id.in_(ids[start : start + MOST_AT_ONCE])
        query = select(Scan).where(Scan.job_id == job_id, part, Scan.state == ScanState.DONE)
        scans += session.scalars(query.order_by(Scan.id))
    if missing := set(ids) - {scan.id for scan in scans}:
        raise NotFound(f"job {job_id} has no output for scan {min(missing)}; photochrom scans {job_id} lists its scans")
    return scans
