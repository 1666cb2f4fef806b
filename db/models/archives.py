"""The tables of archived jobs: the progress of each archiving, and the short rows that stay for its scans."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, KeyText, UtcDateTime, one_of


class ArchiveState:
    WRITING = "writing"  # its rows are written to files, and do not change meanwhile
    STORED = "stored"  # the files are in the destination and were read back; the rows are deleted step by step
    DONE = "done"  # the rows are gone
    DELETING = "deleting"  # the job is deleted step by step, without a file
    ALL = (WRITING, STORED, DONE, DELETING)


class JobArchive(Base):
    """The archiving of one job. While this row is there, the job's scans and verdicts do not change."""

    __tablename__ = "job_archive"
    __table_args__ = (one_of("state", ArchiveState.ALL),)

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), default=ArchiveState.WRITING)
    attempt: Mapped[int] = mapped_column(
        Integer, default=1
    )  # counts processes that work on it; fences off earlier ones
    begun_at: Mapped[datetime] = mapped_column(UtcDateTime)
    touched_at: Mapped[datetime] = mapped_column(UtcDateTime)  # by the process that works on it
    sha256: Mapped[str | None] = mapped_column(String(64))  # of the file of scans, whose key is in the job's row
    sources_key: Mapped[str | None] = mapped_column(Text)  # of the file of the sources' hashes
    sources_sha256: Mapped[str | None] = mapped_column(String(64))
    scan_count: Mapped[int | None] = mapped_column(BigInteger)  # rows in each of the two
    last_chunk_id: Mapped[int] = mapped_column(BigInteger, default=0)  # scans are deleted up to this chunk
    moved_count: Mapped[int] = mapped_column(BigInteger, default=0)  # scans that are deleted so far


class ArchivedScan(Base):
    """The short row that stays for an archived scan, for later submissions and for people.

    Columns that are only shown have no index, and PostgreSQL finds texts by their hash, so that a million rows take
    little space.
    """

    __tablename__ = "archived_scan"

    # There is no foreign key, because each of a million inserts would look up the job.
    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    # The id of the row in the table `scan`. There SQLite may use the id of a deleted row again.
    scan_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    source_key: Mapped[str] = mapped_column(KeyText)
    source_etag: Mapped[str | None] = mapped_column(Text)
    other_output_key: Mapped[str | None] = mapped_column(KeyText)  # NULL: the same as the source's key
    output_bytes: Mapped[int | None] = mapped_column(BigInteger)
    checkpoint: Mapped[str | None] = mapped_column(String(64))
    verdict: Mapped[str | None] = mapped_column(String(16))
    reviewed_by: Mapped[str | None] = mapped_column(Text)  # of the latest review
    reviewed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def output_key(self) -> str:
        return self.other_output_key or self.source_key


OUTPUT_KEY = func.coalesce(ArchivedScan.other_output_key, ArchivedScan.source_key)
_FAILED = text("state = 'failed'")

Index("archived_scan_by_source_key", ArchivedScan.source_key, postgresql_using="hash")
Index("archived_scan_by_output_key", OUTPUT_KEY, postgresql_using="hash")
Index(
    "archived_scan_failed",
    ArchivedScan.job_id,
    ArchivedScan.error_code,
    postgresql_where=_FAILED,
    sqlite_where=_FAILED,
)
