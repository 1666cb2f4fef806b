"""What each person did, and how they were signed in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.access import AuditEntry


def note(
    session: Session,
    actor: str,
    via: str,
    action: str,
    *,
    now: datetime,
    job_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Call it in the transaction of the action, so that either both are stored or neither."""
    kept = dict(detail) if detail else None
    session.add(AuditEntry(done_at=now, actor=actor, via=via, action=action, job_id=job_id, detail=kept))


def of_job(session: Session, job_id: int, *, limit: int) -> Sequence[AuditEntry]:
    """The latest first."""
    query = select(AuditEntry).where(AuditEntry.job_id == job_id).order_by(AuditEntry.id.desc())
    return session.scalars(query.limit(limit)).all()
