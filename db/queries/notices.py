"""The outbox: notices to be sent, each to one receiver and once."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models.notices import Notice

LONGEST_PAUSE = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=2)
_PART = 1_000  # a database limits the number of values in one statement


def known(session: Session, events: list[str], receiver: str) -> set[str]:
    """Those of these events for which the receiver has a row already."""
    recorded: set[str] = set()
    for start in range(0, len(events), _PART):
        part = Notice.event.in_(events[start : start + _PART])
        recorded |= set(session.scalars(select(Notice.event).where(Notice.receiver == receiver, part)))
    return recorded


def last_added(session: Session, receiver: str, prefix: str) -> datetime | None:
    """When the receiver's latest notice was added whose event begins with `prefix`; None if there is none."""
    begins = Notice.event.startswith(prefix, autoescape=True)
    return session.scalar(select(func.max(Notice.created_at)).where(Notice.receiver == receiver, begins))


def add(session: Session, event: str, receiver: str, content: dict[str, Any], *, now: datetime) -> None:
    """Add a notice, unless another scheduler has added it already."""
    dialect = postgresql if session.connection().dialect.name == "postgresql" else sqlite
    values = {"event": event, "receiver": receiver, "content": content, "created_at": now, "next_try_at": now}
    session.execute(dialect.insert(Notice).values(**values, attempts=0).on_conflict_do_nothing())


def claim(session: Session, receiver: str, *, now: datetime, sending: timedelta) -> Notice | None:
    """A notice to this receiver that is due, or None.

    Its row is marked before it is sent, so that nobody else sends it during the time `sending`. If it is not recorded
    as sent by then, its sender was probably killed, and the notice is due again.
    """
    waiting = Notice.sent_at.is_(None), Notice.given_up_at.is_(None), Notice.next_try_at <= now
    due = (
        select(Notice.id)
        .where(*waiting, Notice.receiver == receiver)
        .order_by(Notice.next_try_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    claimed = session.scalar(
        update(Notice)
        .where(Notice.id == due.scalar_subquery(), *waiting)
        .values(next_try_at=now + sending, attempts=Notice.attempts + 1)
        .returning(Notice.id)
        .execution_options(synchronize_session=False)
    )
    return None if claimed is None else session.get_one(Notice, claimed, populate_existing=True)


def sent(session: Session, notice_id: int, *, now: datetime) -> None:
    session.execute(update(Notice).where(Notice.id == notice_id).values(sent_at=now, problem=None))


def failed(session: Session, notice: Notice, problem: str, *, first_pause: timedelta, now: datetime) -> None:
    """Record that a notice could not be sent.

    It is tried again after longer and longer pauses, and given up after two days.
    """
    pause = min(LONGEST_PAUSE, first_pause * 2 ** min(10, notice.attempts - 1))
    gone = now if notice.created_at < now - GIVEN_UP_AFTER else None
    values = {"next_try_at": now + pause, "problem": problem[:500], "given_up_at": gone}
    session.execute(update(Notice).where(Notice.id == notice.id).values(values))


def troubled(session: Session) -> tuple[int, str | None]:
    """How many notices were tried and are not received yet, and why the latest of them was not received."""
    waiting = Notice.sent_at.is_(None), Notice.given_up_at.is_(None), Notice.attempts > 0, Notice.problem.is_not(None)
    count = session.scalar(select(func.count()).select_from(Notice).where(*waiting)) or 0
    return count, session.scalar(select(Notice.problem).where(*waiting).order_by(Notice.id.desc()).limit(1))
