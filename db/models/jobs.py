"""The tables. Times are UTC; keys are relative to the job's source or destination."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, BigKey, KeyText, UtcDateTime, one_of


class JobState:
    SUBMITTING = "submitting"  # its scans are still being listed; nothing is dispatched yet
    SAMPLED = "sampled"  # a few of its scans are coloured in several ways; a person approves one, or rejects the job
    RUNNING = "running"  # its chunks are dispatched in priority order
    PAUSED = "paused"  # nothing new is dispatched; leased chunks are finished
    COMPLETED = "completed"  # every scan is done, failed or skipped
    ABORTED = "aborted"  # more of its scans failed than its submitter allowed; `retry` continues it
    CANCELLED = "cancelled"  # a person stopped it; what was done stays done
    ALL = (SUBMITTING, SAMPLED, RUNNING, PAUSED, COMPLETED, ABORTED, CANCELLED)
    ENDED = (COMPLETED, ABORTED, CANCELLED)
    # For each state, the states that may come before it. A test drives the whole system at random and checks this.
    AFTER: ClassVar[Mapping[str, tuple[str, ...]]] = {
        SUBMITTING: (),
        SAMPLED: (SUBMITTING,),
        RUNNING: (SUBMITTING, SAMPLED, PAUSED, COMPLETED, ABORTED),  # the last two by `retry`
        PAUSED: (RUNNING,),
        COMPLETED: (RUNNING, PAUSED),  # a chunk that was leased when the job was paused may have been the last one
        ABORTED: (RUNNING, PAUSED),
        CANCELLED: (SUBMITTING, SAMPLED, RUNNING, PAUSED),
    }


class ChunkState:
    PENDING = "pending"  # waits for the dispatcher, not before `not_before`
    QUEUED = "queued"  # the broker has a message with its id and attempt
    LEASED = "leased"  # a worker holds it until lease_expires_at
    DONE = "done"  # none of its scans is pending
    ALL = (PENDING, QUEUED, LEASED, DONE)
    AFTER: ClassVar[Mapping[str, tuple[str, ...]]] = {
        PENDING: (QUEUED, LEASED, DONE),  # taken back; handed back or lost; brought back by `retry`
        QUEUED: (PENDING,),
        LEASED: (QUEUED,),
        DONE: (LEASED,),
    }


class ScanState:
    PENDING = "pending"  # not coloured yet
    DONE = "done"  # the store has its output
    FAILED = "failed"  # error_code and error_message say why; there is no output; archived scans begin in this state
    SKIPPED = "skipped"  # not coloured on purpose; error_code and error_message say why
    ALL = (PENDING, DONE, FAILED, SKIPPED)
    AFTER: ClassVar[Mapping[str, tuple[str, ...]]] = {
        PENDING: (FAILED,),  # by `retry`
        DONE: (PENDING,),
        FAILED: (PENDING,),
        SKIPPED: (PENDING,),
    }


class Job(Base):
    """One request to colourize a collection into a destination."""

    __tablename__ = "job"
    __table_args__ = (
        one_of("state", JobState.ALL),
        CheckConstraint(
            "(state IN ('completed', 'aborted', 'cancelled')) = (finished_at IS NOT NULL)", name="ended_has_a_time"
        ),
        Index("job_by_state", "state", "priority"),
        Index("job_by_report", "report_due_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)  # s3://bucket/prefix or a folder
    destination: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)  # format, quality, compression, pyramid, ...
    # The manifest and the patterns that select scans of the source; None for all scans.
    selection: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    max_failures: Mapped[int | None] = mapped_column(BigInteger)  # if more scans fail, the job is aborted
    priority: Mapped[int] = mapped_column(Integer, default=0)  # higher goes first
    state: Mapped[str] = mapped_column(String(16), default=JobState.SUBMITTING)
    scan_count: Mapped[int] = mapped_column(BigInteger, default=0)
    other_count: Mapped[int] = mapped_column(BigInteger, default=0)  # files in the source that are no scans
    # How far the source is listed, so that a killed submission can be continued; see db.queries.jobs.submissions.
    listing: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # Counts submissions; an earlier one can write no more.
    listing_attempt: Mapped[int] = mapped_column(Integer, default=0)
    # The whole submission, and the time until which a scheduler lists it or waits to list it. NULL if its submitter
    # lists it.
    request: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    listing_lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sealed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when its destination became a complete BagIt bag
    report_tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # since the job's end
    report_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when a scheduler next tries to write it
    report_key: Mapped[str | None] = mapped_column(Text)  # key of the latest report in the destination
    submitted_by: Mapped[str | None] = mapped_column(Text)  # a person's name, or "schedule NAME"; NULL if unknown
    archive_key: Mapped[str | None] = mapped_column(Text)  # key in the destination of the file with its scans' rows


def _partial_index(name: str, *columns: str, where: str) -> Index:
    condition = text(where)
    return Index(name, *columns, postgresql_where=condition, sqlite_where=condition)


class Chunk(Base):
    """A group of consecutive scans that one message names, and the lease on it."""

    __tablename__ = "chunk"
    __table_args__ = (
        one_of("state", ChunkState.ALL),
        CheckConstraint("(state = 'leased') = (lease_expires_at IS NOT NULL)", name="lease_has_an_end"),
        CheckConstraint("(state = 'leased') = (worker IS NOT NULL)", name="lease_has_a_holder"),
        CheckConstraint("(state = 'queued') = (queued_at IS NOT NULL)", name="queued_has_a_time"),
        CheckConstraint("done_count >= 0 AND failed_count >= 0 AND skipped_count >= 0", name="counts_are_counts"),
        CheckConstraint("done_count + failed_count + skipped_count <= scan_count", name="counts_fit"),
        CheckConstraint(
            "state <> 'done' OR done_count + failed_count + skipped_count = scan_count", name="done_has_nothing_left"
        ),
        Index("chunk_by_job", "job_id"),
        # These indexes hold only unfinished chunks, so a round of the scheduler reads no finished ones.
        _partial_index("chunk_unfinished", "job_id", "state", "id", "not_before", where="state <> 'done'"),
        _partial_index("chunk_out", "state", "job_id", where="state IN ('queued', 'leased')"),
        _partial_index("chunk_failed", "job_id", "failed_count", where="failed_count > 0"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16), default=ChunkState.PENDING)
    attempt: Mapped[int] = mapped_column(Integer, default=0)  # counts dispatches; an earlier holder can write no more
    lost_leases: Mapped[int] = mapped_column(Integer, default=0)  # how many holders died or sent no more records
    # Of these, how often only a child died and its worker did not.
    killed_children: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    queued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it was first leased
    scan_count: Mapped[int] = mapped_column(Integer)
    # Updated with each record, so that a job's progress is a sum over chunks, not over a million scans.
    done_count: Mapped[int] = mapped_column(Integer, default=0)
    failed_count: Mapped[int] = mapped_column(Integer, default=0)
    skipped_count: Mapped[int] = mapped_column(Integer, default=0)
    recorded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# Conditions for queries that use the partial indexes. The states are written into the SQL, not bound as parameters,
# because SQLite uses a partial index only if the query repeats its condition.
UNFINISHED = Chunk.state != literal_column("'done'")
OUT = Chunk.state.in_((literal_column("'queued'"), literal_column("'leased'")))
HAS_FAILED = Chunk.failed_count > literal_column("0")


_TO_REVIEW = text("review_weight IS NOT NULL")


def _list_by(name: str, column: str) -> Index:
    """An index that the pages list a job's scans by. Scans without a value are not in it."""
    where = text(f"{column} IS NOT NULL")
    return Index(name, "job_id", column, "id", postgresql_where=where, sqlite_where=where)


class Scan(Base):
    """One source image and everything that is known about it."""

    __tablename__ = "scan"
    __table_args__ = (
        one_of("state", ScanState.ALL),
        CheckConstraint("state <> 'done' OR output_sha256 IS NOT NULL", name="done_has_output"),
        CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_has_reason"),
        Index("scan_by_chunk", "chunk_id"),
        Index("scan_by_job_state", "job_id", "state", "id"),
        # The key comes first, because earlier results are looked up by key, over many jobs.
        Index("scan_output", "output_key", "job_id", unique=True),
        Index("scan_by_source_key", "source_key"),
        Index("scan_by_job_key", "job_id", "source_key", "id"),
        _list_by("scan_by_job_code", "error_code"),
        _list_by("scan_by_certainty", "certainty"),
        _list_by("scan_by_colourfulness", "colourfulness"),
        _list_by("scan_by_verdict", "verdict"),
        _list_by("scan_to_review", "review_weight"),
        Index("scan_to_review_first", "review_weight", postgresql_where=_TO_REVIEW, sqlite_where=_TO_REVIEW),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16), default=ScanState.PENDING)
    attempts: Mapped[int] = mapped_column(Integer, default=0)  # attempts whose end was recorded
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)

    source_key: Mapped[str] = mapped_column(KeyText)
    source_etag: Mapped[str | None] = mapped_column(Text)
    source_bytes: Mapped[int | None] = mapped_column(BigInteger)
    source_sha256: Mapped[str | None] = mapped_column(String(64))
    output_key: Mapped[str] = mapped_column(KeyText)
    output_bytes: Mapped[int | None] = mapped_column(BigInteger)
    output_sha256: Mapped[str | None] = mapped_column(String(64))
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    bit_depth: Mapped[int | None] = mapped_column(Integer)
    pages: Mapped[int | None] = mapped_column(Integer)  # size, depth and picture are those of the first page
    picture_left: Mapped[int | None] = mapped_column(Integer)  # the picture inside the film borders, in pixels;
    picture_top: Mapped[int | None] = mapped_column(Integer)  # NULL if no borders were found
    picture_width: Mapped[int | None] = mapped_column(Integer)
    picture_height: Mapped[int | None] = mapped_column(Integer)
    # What the output's format can't hold; NULL if nothing was lost.
    lost_metadata: Mapped[str | None] = mapped_column(Text)

    software: Mapped[str | None] = mapped_column(Text)  # with its version, as in the output's XMP
    checkpoint: Mapped[str | None] = mapped_column(String(64))
    head: Mapped[str | None] = mapped_column(String(16))  # of the network: paper or vivid
    embedding: Mapped[str | None] = mapped_column(Text)  # its name in the model card, or a file
    saturation: Mapped[float | None]  # the factor of a and b, 0..2
    precision: Mapped[str | None] = mapped_column(String(16))  # float32, bfloat16 or int8
    input_px: Mapped[int | None] = mapped_column(Integer)  # the side of the square that the network saw
    doubtful_below: Mapped[
        float | None
    ]  # the checkpoint's limit: a lower certainty is doubtful; NULL if its card has none
    worker: Mapped[str | None] = mapped_column(Text)
    fetch_ms: Mapped[float | None]
    open_ms: Mapped[float | None]
    wait_ms: Mapped[float | None]  # from the hand-over of the lightness to the start of its batch
    predict_ms: Mapped[float | None]  # its batch's time on the device
    compose_ms: Mapped[float | None]
    store_ms: Mapped[float | None]
    colourfulness: Mapped[float | None]  # Hasler and Suesstrunk 2003, of the output
    mean_a: Mapped[float | None]  # the mean CIE a*, b* of the output
    mean_b: Mapped[float | None]
    certainty: Mapped[float | None]  # 0..1; NULL if no head gives one
    clipped_share: Mapped[float | None]  # 0..1, the share of pure black or white, which can have no colour
    review_weight: Mapped[float | None]  # higher: look at it sooner; NULL: nobody needs to look
    verdict: Mapped[str | None] = mapped_column(String(16))  # of the latest review; NULL if there is none
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Tally(Base):
    """How many scans of a chunk a worker ended in an hour.

    It is updated with every record from the scans' rows, so that the views sum over tallies and not over a million
    scans.
    """

    __tablename__ = "tally"
    __table_args__ = (Index("tally_by_job", "job_id", "hour"), Index("tally_by_hour", "hour"))

    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), primary_key=True)
    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)  # its beginning
    worker: Mapped[str] = mapped_column(Text, primary_key=True)  # "" if no worker ended the scan
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    done_count: Mapped[int] = mapped_column(Integer)
    failed_count: Mapped[int] = mapped_column(Integer)
    skipped_count: Mapped[int] = mapped_column(Integer)
    pixels: Mapped[int] = mapped_column(BigInteger)  # of the scans that are done
    source_bytes: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the first of these scans ended, and the last
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
