"""How fast scans were coloured recently, measured from their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.jobs import Job, Scan, ScanState

_SCANS = 5_000  # how many of a job's last scans are measured
_FEWEST = 16  # fewer scans tell nothing about the pace
_JOBS = 20
_IDLE = timedelta(seconds=60)  # a longer time without a record does not count: the job was paused, or no worker ran


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the workers were at that time."""

    job_id: int
    scans: int  # how many were measured
    scans_per_second: float
    bytes_per_second: float  # of sources


def recent_pace(session: Session, *, format: str) -> Pace | None:
    """The pace of the latest job with outputs of this format, or else of the latest job; None if no job has enough
    scans.
    """
    jobs = session.scalars(select(Job).order_by(Job.id.desc()).limit(_JOBS)).all()
    for job in sorted(jobs, key=lambda job: job.options.get("format") != format):
        if pace := _pace(session, job.id):
            return pace
    return None


def _pace(session: Session, job_id: int) -> Pace | None:
    last = (
        select(Scan.finished_at, Scan.source_bytes)
        .where(Scan.job_id == job_id, Scan.state == ScanState.DONE)
        .order_by(Scan.id.desc())
        .limit(_SCANS)
    )
    rows = [(finished_at, size or 0) for finished_at, size in session.execute(last) if finished_at is not None]
    if not rows:
        return None
    first = min(finished_at for finished_at, _ in rows)
    # Work on the scans that were recorded first began before the measured time, so they do not count.
    sizes = [size for finished_at, size in rows if finished_at > first]
    seconds = _busy_seconds(sorted({finished_at for finished_at, _ in rows}))
    if len(sizes) < _FEWEST or seconds <= 0:
        return None
    return Pace(job_id, len(sizes), len(sizes) / seconds, sum(sizes) / seconds)


def _busy_seconds(moments: Sequence[datetime]) -> float:
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return sum((min(gap, _IDLE) for gap in gaps), timedelta()).total_seconds()
