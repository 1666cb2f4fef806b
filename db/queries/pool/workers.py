"""Workers: heartbeats, and how many children they have."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from db.models.pool import Worker


def register(session: Session, worker: Worker) -> None:
    session.merge(worker)


def beat(session: Session, name: str, *, now: datetime, statistics: Mapping[str, float | None] | None = None) -> None:
    """Record a heartbeat of the worker; `statistics` are columns of its row."""
    session.execute(update(Worker).where(Worker.name == name).values(heartbeat_at=now, **(statistics or {})))


def stop(session: Session, name: str, *, now: datetime) -> None:
    """Record that the worker has stopped: it takes no more chunks."""
    session.execute(update(Worker).where(Worker.name == name).values(heartbeat_at=now, stopped_at=now))


def forget(session: Session, *, heard_before: datetime) -> int:
    """Delete the rows of workers whose latest heartbeat is before `heard_before`. Returns how many.

    Each round of the scheduler reads this table, and a pool of spot machines adds hundreds of rows a day. What a worker
    did is still in the scans' rows and the tallies.
    """
    gone = delete(Worker).where(Worker.heartbeat_at < heard_before).returning(Worker.name)
    return len(session.scalars(gone.execution_options(synchronize_session=False)).all())


def live_children(session: Session, *, heard_after: datetime) -> int:
    """The children of all workers that have sent a heartbeat since and have not stopped."""
    return (
        session.scalar(
            select(func.coalesce(func.sum(Worker.children), 0)).where(
                Worker.stopped_at.is_(None), Worker.heartbeat_at >= heard_after
            )
        )
        or 0
    )


def live(session: Session, *, heard_after: datetime) -> list[Worker]:
    return list(
        session.scalars(
            select(Worker).where(Worker.stopped_at.is_(None), Worker.heartbeat_at >= heard_after).order_by(Worker.name)
        )
    )


def last_heard(session: Session) -> Worker | None:
    """The worker with the latest heartbeat, even if it has stopped since."""
    return session.scalars(select(Worker).order_by(Worker.heartbeat_at.desc()).limit(1)).first()


def recent(session: Session, *, heard_after: datetime) -> list[Worker]:
    """Every worker that has sent a heartbeat since, even if it has stopped; the latest started first."""
    return list(
        session.scalars(
            select(Worker).where(Worker.heartbeat_at >= heard_after).order_by(Worker.started_at.desc(), Worker.name)
        )
    )


def checkpoints(session: Session, *, heard_after: datetime) -> list[str]:
    """The checkpoints of all workers that have sent a heartbeat since and have not stopped."""
    live = select(Worker.checkpoint).where(Worker.stopped_at.is_(None), Worker.heartbeat_at >= heard_after)
    named = live.where(Worker.checkpoint.is_not(None)).distinct().order_by(Worker.checkpoint)
    return [checkpoint for checkpoint in session.scalars(named) if checkpoint]
