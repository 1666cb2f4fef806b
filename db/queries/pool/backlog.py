"""The backlog and the workers: figures for watching a pool and choosing its size."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models.jobs import UNFINISHED, Chunk, ChunkState, Job, JobState
from db.models.pool import Worker


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts at this moment."""

    jobs: dict[str, int]  # by state, only unfinished ones
    chunks: dict[str, int]  # of running jobs, by state; only unfinished ones
    pending_scans: int  # of running jobs
    workers: int  # with a recent heartbeat
    children: int  # of these workers


def backlog(session: Session, *, heard_after: datetime) -> Backlog:
    """A sum over unfinished chunks, so it is fast for a million scans."""
    going = [state for state in JobState.ALL if state not in JobState.ENDED]
    unfinished = [state for state in ChunkState.ALL if state != ChunkState.DONE]
    jobs = session.execute(select(Job.state, func.count()).where(Job.state.in_(going)).group_by(Job.state))
    left = Chunk.scan_count - Chunk.done_count - Chunk.failed_count - Chunk.skipped_count
    chunks = session.execute(
        select(Chunk.state, func.count(), func.sum(left))
        .join(Job, Job.id == Chunk.job_id)
        .where(Job.state == JobState.RUNNING, UNFINISHED)
        .group_by(Chunk.state)
    ).all()
    workers, children = session.execute(
        select(func.count(), func.coalesce(func.sum(Worker.children), 0)).where(
            Worker.stopped_at.is_(None), Worker.heartbeat_at >= heard_after
        )
    ).one()
    return Backlog(
        jobs=dict.fromkeys(going, 0) | {row[0]: row[1] for row in jobs},
        chunks=dict.fromkeys(unfinished, 0) | {row[0]: row[1] for row in chunks},
        pending_scans=sum(int(row[2]) for row in chunks),
        workers=workers,
        children=int(children),
    )
