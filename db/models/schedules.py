"""The tables of nightly jobs: schedules, and the result of each of their firings."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, BigKey, UtcDateTime, one_of


class FiringState:
    LISTING = "listing"  # a scheduler lists the source, until lease_expires_at; then another may
    SUBMITTED = "submitted"  # it made job_id
    NOTHING_NEW = "nothing_new"  # every scan has its output already; no job was made
    STILL_GOING = "still_going"  # the job of an earlier firing, job_id, had not ended; none was made
    FAILED = "failed"  # message says why; the next one is tried as usual
    ALL = (LISTING, SUBMITTED, NOTHING_NEW, STILL_GOING, FAILED)


class Schedule(Base):
    """A collection whose new and changed scans are submitted at set times."""

    __tablename__ = "schedule"
    __table_args__ = (CheckConstraint("enabled = (next_due_at IS NOT NULL)", name="enabled_has_a_time"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    source: Mapped[str] = mapped_column(Text)
    destination: Mapped[str] = mapped_column(Text)
    # The options of submit, with the names of scheduler.submission.submitter.Submission.
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    cron: Mapped[str] = mapped_column(Text)  # five fields, as Debian's cron reads them
    timezone: Mapped[str] = mapped_column(Text)  # of the IANA database: Europe/Rome
    enabled: Mapped[bool] = mapped_column(default=True)
    # Of several schedulers, the one that changes it to the next time fires the schedule.
    next_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Firing(Base):
    """One run of a schedule, because it was due or because a person started it."""

    __tablename__ = "firing"
    __table_args__ = (
        one_of("state", FiringState.ALL),
        CheckConstraint("(state = 'listing') = (lease_expires_at IS NOT NULL)", name="listing_has_an_end"),
        Index("firing_by_schedule", "schedule_id", "id"),
        Index("firing_by_state", "state", "lease_expires_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    schedule_id: Mapped[int] = mapped_column(ForeignKey("schedule.id", ondelete="CASCADE"))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # NULL if a person started it
    fired_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(16), default=FiringState.LISTING)
    # Counts schedulers that took the listing; an earlier one can write no more.
    attempt: Mapped[int] = mapped_column(Integer, default=1)
    # Of these, without those that handed it back because they stopped; after too many, the firing fails.
    tries: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    message: Mapped[str | None] = mapped_column(Text)
