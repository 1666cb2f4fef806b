"""Submissions that a program may send twice: the second gets the first one's answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models.access import IdempotencyKey

KEPT = timedelta(days=7)
GOING = timedelta(seconds=60)  # a first request whose process is silent for this long was killed


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier request with the same key; `status` is None until it is answered."""

    request_sha256: str
    status: int | None
    answer: dict[str, Any] | None


def begin(session: Session, actor: str, key: str, request_sha256: str, *, now: datetime) -> Earlier | None:
    """Take the key and return None, or return the earlier request that has the key."""
    old = (IdempotencyKey.status.is_(None)) & (IdempotencyKey.created_at < now - GOING)
    session.execute(delete(IdempotencyKey).where((IdempotencyKey.created_at < now - KEPT) | old))
    try:
        with session.begin_nested():
            session.add(IdempotencyKey(actor=actor, key=key, request_sha256=request_sha256, created_at=now))
    except IntegrityError:
        row = session.scalars(
            select(IdempotencyKey).where(IdempotencyKey.actor == actor, IdempotencyKey.key == key)
        ).one_or_none()
        if row is None:  # the first request failed meanwhile and freed the key; the next try takes it
            return Earlier(request_sha256, None, None)
        return Earlier(row.request_sha256, row.status, row.answer)
    return None


def hold(session: Session, actor: str, key: str, *, now: datetime) -> None:
    """Extend the time for which the first request keeps the key, because it is still being answered."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.actor == actor, IdempotencyKey.key == key, IdempotencyKey.status.is_(None))
        .values(created_at=now)
    )


def finish(session: Session, actor: str, key: str, status: int, answer: dict[str, Any]) -> bool:
    """Store the answer. Returns False if the key has one already, or another request has freed it."""
    statement = (
        update(IdempotencyKey)
        .where(IdempotencyKey.actor == actor, IdempotencyKey.key == key, IdempotencyKey.status.is_(None))
        .values(status=status, answer=answer)
        .returning(IdempotencyKey.key)
        .execution_options(synchronize_session=False)
    )
    return bool(session.scalars(statement).all())


def forget(session: Session, actor: str, key: str) -> None:
    """Free the key of a request that failed, so that it can be sent again. A key that has an answer keeps it."""
    unanswered = (IdempotencyKey.actor == actor, IdempotencyKey.key == key, IdempotencyKey.status.is_(None))
    session.execute(delete(IdempotencyKey).where(*unanswered))
