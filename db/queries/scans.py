"""Scans: record what became of them, list them, and bring failed ones back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from db.errors import UsageError
from db.models import Chunk, ChunkState, Job, JobState, Scan, ScanState

_CHUNKS_AT_ONCE = 1_000  # in one statement: the parameters of a statement are limited


@dataclass(slots=True)
class Measured:
    """What is known of a scan: filled step by step, so that a failure keeps what came before it.

    Milliseconds, bytes, pixels.
    """

    source_bytes: int | None = None
    source_sha256: str | None = None
    output_bytes: int | None = None
    output_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    bit_depth: int | None = None
    checkpoint: str | None = None
    fetch_ms: float | None = None
    open_ms: float | None = None
    wait_ms: float | None = None
    predict_ms: float | None = None
    compose_ms: float | None = None
    store_ms: float | None = None
    colourfulness: float | None = None
    certainty: float | None = None


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """One row's new contents; state PENDING means that it is to be tried again."""

    scan_id: int
    state: str
    measured: Measured
    worker: str
    finished_at: datetime
    error_code: str | None = None
    error_message: str | None = None


def unrecorded(session: Session, chunk_id: int, records: Sequence[ScanRecord]) -> list[ScanRecord]:
    """Those whose scan is still pending in this chunk, whose row the caller has locked."""
    pending = set(
        session.scalars(select(Scan.id).where(Scan.chunk_id == chunk_id, Scan.state == ScanState.PENDING))
        if records
        else ()
    )
    return [record for record in records if record.scan_id in pending]


def record(session: Session, records: Sequence[ScanRecord]) -> None:
    """Write rows in bulk.

    The caller has extended the chunk's lease in the same transaction, which fences off everyone else.
    """
    if not records:
        return
    session.execute(update(Scan), [_row(record) for record in records])
    ids = [record.scan_id for record in records]
    session.execute(
        update(Scan)
        .where(Scan.id.in_(ids))
        .values(attempts=Scan.attempts + 1)
        .execution_options(synchronize_session=False)
    )


def _row(record: ScanRecord) -> dict[str, object]:
    measured = asdict(record.measured)
    if measured["source_bytes"] is None:
        del measured["source_bytes"]  # the listing's figure stays
    ended = record.state != ScanState.PENDING
    return {
        "id": record.scan_id,
        "state": record.state,
        "worker": record.worker,
        "finished_at": record.finished_at if ended else None,
        "error_code": record.error_code,
        "error_message": record.error_message,
        **measured,
    }


def fail_pending(session: Session, chunk_id: int, *, code: str, message: str, now: datetime) -> int:
    """Fail every pending scan of a chunk; returns how many, which the caller adds to the chunk's count."""
    rows = session.execute(
        update(Scan)
        .where(Scan.chunk_id == chunk_id, Scan.state == ScanState.PENDING)
        .values(
            state=ScanState.FAILED,
            error_code=code,
            error_message=message,
            attempts=Scan.attempts + 1,
            finished_at=now,
        )
        .returning(Scan.id)
        .execution_options(synchronize_session=False)
    ).all()
    session.execute(
        update(Chunk)
        .where(Chunk.id == chunk_id)
        .values(state=ChunkState.DONE, failed_count=Chunk.failed_count + len(rows), recorded_at=now)
        .execution_options(synchronize_session=False)
    )
    return len(rows)


def of_job(
    session: Session, job_id: int, *, state: str | None = None, after_id: int = 0, limit: int | None = None
) -> list[Scan]:
    """A job's scans in the order they were listed, from after `after_id` on."""
    query = select(Scan).where(Scan.job_id == job_id, Scan.id > after_id).order_by(Scan.id)
    if state:
        query = query.where(Scan.state == state)
    return list(session.scalars(query.limit(limit) if limit else query))


def failures_by_code(session: Session, job_id: int) -> list[tuple[str, int]]:
    """Failure codes with their counts, the most frequent first."""
    rows = session.execute(
        select(Scan.error_code, func.count())
        .where(Scan.job_id == job_id, Scan.state == ScanState.FAILED)
        .group_by(Scan.error_code)
        .order_by(func.count().desc())
    )
    return [(str(row[0]), row[1]) for row in rows]


def retry_failed(session: Session, job_id: int, *, code: str | None = None) -> int:
    """Bring failed scans (all, or those with one code) back to pending, and their job to running; returns how many.

    Raises UsageError for a cancelled job.
    """
    state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
    if state == JobState.CANCELLED:
        raise UsageError(f"job {job_id} is cancelled, which is for good; submit its collection again")
    failed = (Scan.job_id == job_id, Scan.state == ScanState.FAILED, *((Scan.error_code == code,) if code else ()))
    held = select(Chunk.id).where(Chunk.job_id == job_id, Chunk.failed_count > 0).order_by(Chunk.id).with_for_update()
    chunk_ids = session.scalars(held).all()
    brought_back = 0
    for start in range(0, len(chunk_ids), _CHUNKS_AT_ONCE):
        these = chunk_ids[start : start + _CHUNKS_AT_ONCE]
        brought_back += _bring_back(session, these, failed)
    if brought_back:
        session.execute(
            update(Job)
            .where(Job.id == job_id, Job.state.in_((JobState.COMPLETED, JobState.ABORTED)))
            .values(state=JobState.RUNNING, finished_at=None)
        )
    return brought_back


def _bring_back(session: Session, chunk_ids: Sequence[int], failed: Sequence[ColumnElement[bool]]) -> int:
    """The same for chunks whose rows this transaction has locked, so that none of their counts changes meanwhile."""
    found = session.scalars(
        update(Scan)
        .where(Scan.chunk_id.in_(chunk_ids), *failed)
        .values(state=ScanState.PENDING, attempts=0, finished_at=None)
        .returning(Scan.chunk_id)
        .execution_options(synchronize_session=False)
    ).all()
    still_failed = select(func.count()).where(Scan.chunk_id == Chunk.id, Scan.state == ScanState.FAILED)
    session.execute(
        update(Chunk)
        .where(Chunk.id.in_(set(found)))
        .values(
            failed_count=still_failed.scalar_subquery(),
            lost_leases=0,
            killed_children=0,
            state=case((Chunk.state == ChunkState.DONE, ChunkState.PENDING), else_=Chunk.state),
        )
        .execution_options(synchronize_session=False)
    )
    return len(found)


def done_before(
    session: Session, *, source: str, destination: str, options: dict[str, Any], output_keys: Sequence[str]
) -> set[tuple[str, str | None, int | None]]:
    """Which of these outputs a job with this source, destination and options made before.

    Each as (output key, ETag of the source that it was made from, bytes of the output).
    """
    job_ids = [
        job.id
        for job in session.scalars(select(Job).where(Job.source == source, Job.destination == destination))
        if job.options == options
    ]
    rows = session.execute(
        select(Scan.output_key, Scan.source_etag, Scan.output_bytes).where(
            Scan.job_id.in_(job_ids), Scan.state == ScanState.DONE, Scan.output_key.in_(output_keys)
        )
    )
    return {(row[0], row[1], row[2]) for row in rows}
