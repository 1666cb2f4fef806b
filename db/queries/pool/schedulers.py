"""Schedulers: heartbeats."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models.pool import Scheduler


def beat(session: Session, name: str, *, now: datetime) -> None:
    """Record a heartbeat of the scheduler. The first one adds its row."""
    heard = update(Scheduler).where(Scheduler.name == name).values(heartbeat_at=now).returning(Scheduler.name)
    if not session.scalars(heard.execution_options(synchronize_session=False)).all():
        session.add(Scheduler(name=name, started_at=now, heartbeat_at=now))


def stop(session: Session, name: str, *, now: datetime) -> None:
    session.execute(update(Scheduler).where(Scheduler.name == name).values(heartbeat_at=now, stopped_at=now))


def last_heard(session: Session) -> Scheduler | None:
    """The scheduler with the latest heartbeat, preferably one that has not stopped."""
    query = select(Scheduler).order_by(Scheduler.stopped_at.is_not(None), Scheduler.heartbeat_at.desc())
    return session.scalars(query.limit(1)).first()
