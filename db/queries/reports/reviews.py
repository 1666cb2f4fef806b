"""Reviews: what a person should look at first, and what they said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import column, func, insert, select, table, update
from sqlalchemy.orm import Session

from db.errors import UsageError
from db.models.jobs import Job, Scan, ScanState
from db.models.reviews import Review, Verdict
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan

_PART = 1_000
_QUEUE = table(
    "review_queue",
    *map(column, ("scan_id", "job_id", "source_key", "output_key", "reasons", "weight")),
    *map(column, ("certainty", "colourfulness", "clipped_share", "width", "height", "checkpoint")),
)


@dataclass(frozen=True, slots=True)
class By:
    """Who says it, when, and in which words."""

    name: str
    at: datetime
    note: str | None = None


def queue(session: Session, job_id: int, *, limit: int) -> list[dict[str, Any]]:
    """Rows of the view review_queue: the outputs of a job that a person should look at, the most doubtful first."""
    query = select(_QUEUE).where(_QUEUE.c.job_id == job_id).order_by(_QUEUE.c.weight.desc(), _QUEUE.c.scan_id)
    return [dict(row) for row in session.execute(query.limit(limit)).mappings()]


def queue_length(session: Session, job_id: int) -> int:
    return session.scalar(select(func.count()).select_from(_QUEUE).where(_QUEUE.c.job_id == job_id)) or 0


def verdicts(session: Session, job_id: int) -> list[tuple[Review, str]]:
    """The latest verdict on each of the job's outputs that has one, with the source's key, the latest first."""
    newest = (
        select(func.max(Review.id))
        .join(Scan, Scan.id == Review.scan_id)
        .where(Scan.job_id == job_id)
        .group_by(Review.scan_id)
    )
    rows = session.execute(
        select(Review, Scan.source_key)
        .join(Scan, Scan.id == Review.scan_id)
        .where(Review.id.in_(newest))
        .order_by(Review.id.desc())
    )
    return [(row[0], row[1]) for row in rows]


def outputs(session: Session, job_id: int, keys: Sequence[str]) -> list[Scan]:
    """The job's done scans with these source or output keys; raises UsageError for a key that has none."""
    lifecycle.get(session, job_id)
    found: dict[int, Scan] = {}
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        done = select(Scan).where(Scan.job_id == job_id, Scan.state == ScanState.DONE)
        for same in (Scan.source_key.in_(part), Scan.output_key.in_(part)):
            found |= {scan.id: scan for scan in session.scalars(done.where(same))}
    known = {key for scan in found.values() for key in (scan.source_key, scan.output_key)}
    if missing := [key for key in keys if key not in known]:
        raise UsageError(f"job {job_id} has no output for {missing[0]!r}; photochrom scans {job_id} lists its scans")
    return sorted(found.values(), key=lambda scan: scan.id)


def decide(session: Session, scans: Sequence[Scan], verdict: str, by: By, *, redo_job_id: int | None = None) -> None:
    """Record a verdict on these outputs, which leave the queue."""
    said = {"verdict": verdict, "reviewed_by": by.name, "reviewed_at": by.at, "note": by.note}
    session.execute(insert(Review), [{"scan_id": scan.id, "redo_job_id": redo_job_id, **said} for scan in scans])
    for start in range(0, len(scans), _PART):
        ids = [scan.id for scan in scans[start : start + _PART]]
        session.execute(
            update(Scan)
            .where(Scan.id.in_(ids))
            .values(review_weight=None, verdict=verdict)
            .execution_options(synchronize_session=False)
        )


def redo(
    session: Session, job: Job, scans: Sequence[Scan], by: By, *, options: dict[str, Any], chunk_scans: int
) -> int:
    """A job that makes these outputs anew, each in its own place, with other options; returns its number."""
    job_id = lifecycle.create(
        session,
        name=f"{job.name}, redone",
        source=job.source,
        destination=job.destination,
        options={**job.options, **options},
        selection={"redone": job.id},
        priority=job.priority,
        now=by.at,
    )
    again = [NewScan(scan.source_key, scan.source_etag, scan.source_bytes, scan.output_key) for scan in scans]
    lifecycle.add_scans(session, job_id, again, chunk_scans=chunk_scans)
    lifecycle.start(session, job_id, other_count=0)
    decide(session, scans, Verdict.REDONE, by, redo_job_id=job_id)
    return job_id
