"""Queries about archived scans. They correspond to those of db.queries.scans."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import case, or_, select
from sqlalchemy.orm import Session

from db.models.archives import OUTPUT_KEY, ArchivedScan
from db.models.jobs import Job, ScanState
from db.queries.scans.history import keys_of, names_of


def done_before(
    session: Session, *, job_ids: Sequence[int], checkpoints: Sequence[str], output_keys: Sequence[str]
) -> set[tuple[str, str | None, int | None]]:
    """As records.done_before."""
    made = (ArchivedScan.state == ScanState.DONE) & ArchivedScan.checkpoint.in_(checkpoints)
    rows = session.execute(
        select(OUTPUT_KEY, ArchivedScan.source_etag, ArchivedScan.output_bytes).where(
            ArchivedScan.job_id.in_(job_ids),
            made | (ArchivedScan.state == ScanState.SKIPPED),
            OUTPUT_KEY.in_(output_keys),
        )
    )
    return {(row[0], row[1], row[2]) for row in rows}


def ended_before(
    session: Session, *, job_ids: Sequence[int], failed: Collection[str], output_keys: Sequence[str]
) -> set[tuple[str, str | None, int | None]]:
    """As records.ended_before."""
    unfit = (ArchivedScan.state == ScanState.FAILED) & ArchivedScan.error_code.in_(failed)
    size = case((ArchivedScan.state == ScanState.FAILED, -1), else_=ArchivedScan.output_bytes)
    ended = ArchivedScan.state.in_((ScanState.DONE, ScanState.SKIPPED)) | unfit
    rows = session.execute(
        select(OUTPUT_KEY, ArchivedScan.source_etag, size).where(
            ArchivedScan.job_id.in_(job_ids), ended, OUTPUT_KEY.in_(output_keys)
        )
    )
    return {(row[0], row[1], row[2]) for row in rows}


def history(session: Session, place: str, *, job_id: int | None = None) -> list[tuple[ArchivedScan, Job]]:
    """The short rows of one archived scan in all jobs. The arguments are those of
    `db.queries.scans.history.history`.
    """
    keys = keys_of(place)
    query = select(ArchivedScan, Job).join(Job, Job.id == ArchivedScan.job_id)
    query = query.where(or_(ArchivedScan.source_key.in_(keys), OUTPUT_KEY.in_(keys)))
    if job_id is not None:
        query = query.where(ArchivedScan.job_id == job_id)
    rows = [(row[0], row[1]) for row in session.execute(query.order_by(ArchivedScan.job_id, ArchivedScan.scan_id))]
    return [(scan, job) for scan, job in rows if place in names_of(scan, job)]


def stored_last(session: Session, destination: str, keys: Sequence[str]) -> dict[str, tuple[int, datetime | None]]:
    """For each of these output keys, the archived job that made the output last, and when."""
    rows = session.execute(
        select(OUTPUT_KEY, ArchivedScan.job_id, ArchivedScan.finished_at)
        .join(Job, Job.id == ArchivedScan.job_id)
        .where(Job.destination == destination, ArchivedScan.state == ScanState.DONE, OUTPUT_KEY.in_(keys))
        .order_by(ArchivedScan.finished_at, ArchivedScan.scan_id)
    )
    return {key: (job_id, finished_at) for key, job_id, finished_at in rows}
