"""The queries of the report. There are few, and none holds all rows of a large job in memory."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, column, func, select, table
from sqlalchemy.orm import Session

from db.models.jobs import Chunk, Scan, ScanState
from db.models.pool import Worker

# The columns that `measurements` gives, in this order.
MEASURED = (
    Scan.id,
    Scan.width,
    Scan.height,
    Scan.fetch_ms,
    Scan.open_ms,
    Scan.wait_ms,
    Scan.predict_ms,
    Scan.compose_ms,
    Scan.store_ms,
    Scan.colourfulness,
    Scan.certainty,
    Scan.doubtful_below,
    Scan.finished_at,
)

OUTLIERS = table("folder_outliers", *map(column, ("job_id", "scan_id", "furthest")))


def scans_by_state(session: Session, job_id: int) -> dict[str, int]:
    """How many of the job's scans are in each state that occurs."""
    rows = session.execute(select(Scan.state, func.count()).where(Scan.job_id == job_id).group_by(Scan.state))
    return {row[0]: row[1] for row in rows}


def measurements(session: Session, job_id: int) -> Iterator[Row[Any]]:
    """The columns of every done scan, streamed in the order of the listing."""
    query = select(*MEASURED).where(Scan.job_id == job_id, Scan.state == ScanState.DONE).order_by(Scan.id)
    rows: Iterator[Row[Any]] = iter(session.execute(query.execution_options(yield_per=5_000)))
    return rows


def unlike_their_folder(session: Session, job_id: int, *, limit: int) -> list[int]:
    """Ids of the outputs that differ most from the others in their folder (view folder_outliers), the most different
    first.
    """
    query = select(OUTLIERS.c.scan_id).where(OUTLIERS.c.job_id == job_id)
    query = query.order_by(OUTLIERS.c.furthest.desc(), OUTLIERS.c.scan_id)
    return list(session.scalars(query.limit(limit)))


def last_finish(session: Session, job_id: int) -> datetime | None:
    """When the last scan became done, failed or skipped."""
    return session.scalar(select(func.max(Scan.finished_at)).where(Scan.job_id == job_id))


def scans_by_id(session: Session, ids: Sequence[int]) -> dict[int, Scan]:
    return {scan.id: scan for scan in session.scalars(select(Scan).where(Scan.id.in_(ids)))}


def problems_by_code(session: Session, job_id: int) -> list[tuple[str, str | None, int]]:
    """(state, error code, count) of failed and then of skipped scans, each with the most frequent first."""
    rows = session.execute(
        select(Scan.state, Scan.error_code, func.count())
        .where(Scan.job_id == job_id, Scan.state.in_((ScanState.FAILED, ScanState.SKIPPED)))
        .group_by(Scan.state, Scan.error_code)
        .order_by(Scan.state, func.count().desc(), Scan.error_code)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def first_problems(
    session: Session, job_id: int, *, state: str, code: str | None, limit: int
) -> list[tuple[int, str, str | None]]:
    """(scan's number, source key, message) of the first `limit` scans with this state and error code."""
    has_code = Scan.error_code.is_(None) if code is None else Scan.error_code == code
    rows = session.execute(
        select(Scan.id, Scan.source_key, Scan.error_message)
        .where(Scan.job_id == job_id, Scan.state == state, has_code)
        .order_by(Scan.id)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def chunks(session: Session, job_id: int) -> tuple[int, int]:
    """The number of the job's chunks, and of scans in the largest chunk."""
    row = session.execute(
        select(func.count(), func.coalesce(func.max(Chunk.scan_count), 0)).where(Chunk.job_id == job_id)
    ).one()
    return row[0], row[1]


def scans_by_checkpoint(session: Session, job_id: int) -> list[tuple[str | None, int]]:
    """Checkpoint ids with the number of scans that each one coloured, the most used first."""
    rows = session.execute(
        select(Scan.checkpoint, func.count())
        .where(Scan.job_id == job_id, Scan.state == ScanState.DONE)
        .group_by(Scan.checkpoint)
        .order_by(func.count().desc(), Scan.checkpoint)
    )
    return [(row[0], row[1]) for row in rows]


def scans_by_worker(session: Session, job_id: int) -> list[tuple[str, str | None, int]]:
    """(worker, its device, scans that it ended), the busiest first."""
    rows = session.execute(
        select(Scan.worker, Worker.device, func.count())
        .outerjoin(Worker, Worker.name == Scan.worker)
        .where(Scan.job_id == job_id, Scan.worker.is_not(None))
        .group_by(Scan.worker, Worker.device)
        .order_by(func.count().desc(), Scan.worker)
    )
    return [(row[0] or "", row[1], row[2]) for row in rows]
