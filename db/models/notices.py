"""The outbox of notices: what is sent to whom, how often it was tried, and whether it was received."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, BigKey, UtcDateTime

_WAITING = text("sent_at IS NULL AND given_up_at IS NULL")


class Notice(Base):
    """One event for one receiver. There is only one row for each pair, so the event is sent once."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("event", "receiver"),
        Index("notice_to_send", "next_try_at", postgresql_where=_WAITING, sqlite_where=_WAITING),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    event: Mapped[str] = mapped_column(String(200))  # names what happened: job/12/completed/2026-07-01T12:00:00
    # From the SHA-256 of the address, because an address may contain a password.
    receiver: Mapped[str] = mapped_column(String(16))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)  # kind, title, text, link, data
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_try_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    given_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problem: Mapped[str | None] = mapped_column(Text)  # of the latest try
