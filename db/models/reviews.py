"""The table of reviews: people's verdicts on outputs."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, BigKey, UtcDateTime, one_of


class Verdict:
    ACCEPTED = "accepted"  # good enough to be kept
    REJECTED = "rejected"  # not to be shown; the output stays where it is, for a person to remove
    REDONE = "redone"  # to be made again by the job redo_job_id
    ALL = (ACCEPTED, REJECTED, REDONE)


class Review(Base):
    """One verdict on one output; the latest counts."""

    __tablename__ = "review"
    __table_args__ = (
        one_of("verdict", Verdict.ALL),
        CheckConstraint("verdict = 'redone' OR redo_job_id IS NULL", name="only_redone_has_a_job"),
        Index("review_by_scan", "scan_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scan.id", ondelete="CASCADE"))
    verdict: Mapped[str] = mapped_column(String(16))
    reviewed_by: Mapped[str] = mapped_column(Text)
    reviewed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    note: Mapped[str | None] = mapped_column(Text)
    redo_job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
