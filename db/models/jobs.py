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
    PAUSED = "paused"  # nothing new is dispatched; what is leased is finished
    COMPLETED = "completed"  # every scan is done, failed or skipped
    ABORTED = "aborted"  # more of its scans failed than its submitter allowed; `retry` goes on
    CANCELLED = "cancelled"  # a person stopped it; what was done stays done
    ALL = (SUBMITTING, SAMPLED, RUNNING, PAUSED, COMPLETED, ABORTED, CANCELLED)
    ENDED = (COMPLETED, ABORTED, CANCELLED)
    # From which states each one may follow. A test drives the whole system at random and holds it to these.
    AFTER: ClassVar[Mapping[str, tuple[str, ...]]] = {
        SUBMITTING: (),
        SAMPLED: (SUBMITTING,),
        RUNNING: (SUBMITTING, SAMPLED, PAUSED, COMPLETED, ABORTED),  # from the last two by `retry`
        PAUSED: (RUNNING,),
        COMPLETED: (RUNNING, PAUSED),  # what was leased at a pause may have been the last
        ABORTED: (RUNNING, PAUSED),
        CANCELLED: (SUBMITTING, SAMPLED, RUNNING, PAUSED),
    }


class ChunkState:
    PENDING = "pending"  # waits for the dispatcher, not before `not_before`
    QUEUED = "queued"  # a message with its id and attempt is with the broker
    LEASED = "leased"  # a worker holds it until lease_expires_at
    DONE = "done"  # none of its scans is pending
    ALL = (PENDING, QUEUED, LEASED, DONE)
    AFTER: ClassVar[Mapping[str, tuple[str, ...]]] = {
        PENDING: (QUEUED, LEASED, DONE),  # taken back, handed back or lost, brought back by `retry`
        QUEUED: (PENDING,),
        LEASED: (QUEUED,),
        DONE: (LEASED,),
    }


class ScanState:
    PENDING = "pending"  # not coloured yet
    DONE = "done"  # the store has its output
    FAILED = "failed"  # error_code and error_message say why; there is no output
    SKIPPED = "skipped"  # left alone on purpose; error_code and error_message say why
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
    # The manifest and patterns that chose among the source's scans; None when all were meant.
    selection: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    max_failures: Mapped[int | None] = mapped_column(BigInteger)  # more failed scans, and the job is aborted
    priority: Mapped[int] = mapped_column(Integer, default=0)  # higher goes first
    state: Mapped[str] = mapped_column(String(16), default=JobState.SUBMITTING)
    scan_count: Mapped[int] = mapped_column(BigInteger, default=0)
    other_count: Mapped[int] = mapped_column(BigInteger, default=0)  # files in the listing that are no scans
    # How far its listing is, so that the same submit can go on after a kill; see db.queries.jobs.submissions.
    listing: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    listing_attempt: Mapped[int] = mapped_column(Integer, default=0)  # counts submits; fences off earlier ones
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sealed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # its destination became a whole BagIt bag
    report_tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # since the job's end
    report_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when a scheduler next tries to write it
    report_key: Mapped[str | None] = mapped_column(Text)  # where the latest lies in the destination
    submitted_by: Mapped[str | None] = mapped_column(Text)  # a person's name; NULL for jobs of before it was kept


def _partial_index(name: str, *columns: str, where: str) -> Index:
    condition = text(where)
    return Index(name, *columns, postgresql_where=condition, sqlite_where=condition)


class Chunk(Base):
    """The run of scans that one message carries, and the lease on it."""

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
        # These hold few of a large job's chunks, so that a round of the scheduler reads no finished ones.
        _partial_index("chunk_unfinished", "job_id", "state", "id", "not_before", where="state <> 'done'"),
        _partial_index("chunk_out", "state", "job_id", where="state IN ('queued', 'leased')"),
        _partial_index("chunk_failed", "job_id", "failed_count", where="failed_count > 0"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16), default=ChunkState.PENDING)
    attempt: Mapped[int] = mapped_column(Integer, default=0)  # counts dispatches; fences off earlier holders
    lost_leases: Mapped[int] = mapped_column(Integer, default=0)  # times that a holder died or fell silent
    killed_children: Mapped[int] = mapped_column(Integer, default=0)  # those where a child died and its worker lived
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    queued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it was first leased
    scan_count: Mapped[int] = mapped_column(Integer)
    # Kept with each record, so that a job's progress is a sum over chunks, not over a million scans.
    done_count: Mapped[int] = mapped_column(Integer, default=0)
    failed_count: Mapped[int] = mapped_column(Integer, default=0)
    skipped_count: Mapped[int] = mapped_column(Integer, default=0)
    recorded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# For queries that the partial indexes serve. The states are written out, not bound: SQLite uses a partial index only
# where a query repeats its condition.
UNFINISHED = Chunk.state != literal_column("'done'")
OUT = Chunk.state.in_((literal_column("'queued'"), literal_column("'leased'")))
HAS_FAILED = Chunk.failed_count > literal_column("0")


_TO_REVIEW = text("review_weight IS NOT NULL")


def _list_by(name: str, column: str) -> Index:
    """What the pages list a job's scans by; scans that have no value there take no room in it."""
    where = text(f"{column} IS NOT NULL")
    return Index(name, "job_id", column, "id", postgresql_where=where, sqlite_where=where)


class Scan(Base):
    """One source image and all that is known of it."""

    __tablename__ = "scan"
    __table_args__ = (
        one_of("state", ScanState.ALL),
        CheckConstraint("state <> 'done' OR output_sha256 IS NOT NULL", name="done_has_output"),
        CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_has_reason"),
        Index("scan_by_chunk", "chunk_id"),
        Index("scan_by_job_state", "job_id", "state", "id"),
        # By key first: what was done before is asked for by key, over the jobs of years.
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
    attempts: Mapped[int] = mapped_column(Integer, default=0)  # tries that ended in a record
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
    pages: Mapped[int | None] = mapped_column(Integer)  # size, depth and picture are the first one's
    picture_left: Mapped[int | None] = mapped_column(Integer)  # where the picture lies within film borders, in pixels;
    picture_top: Mapped[int | None] = mapped_column(Integer)  # NULL where none were found
    picture_width: Mapped[int | None] = mapped_column(Integer)
    picture_height: Mapped[int | None] = mapped_column(Integer)
    lost_metadata: Mapped[str | None] = mapped_column(Text)  # what the output's format can't carry; NULL for nothing

    checkpoint: Mapped[str | None] = mapped_column(String(64))
    head: Mapped[str | None] = mapped_column(String(16))  # of the network: paper or vivid
    embedding: Mapped[str | None] = mapped_column(Text)  # by its name in the checkpoint's card, or a file
    saturation: Mapped[float | None]  # the factor of a and b, 0..2
    precision: Mapped[str | None] = mapped_column(String(16))  # float32 or bfloat16
    input_px: Mapped[int | None] = mapped_column(Integer)  # the side of the square that the network saw
    doubtful_below: Mapped[float | None]  # of the checkpoint: a certainty below it is doubtful; NULL where it says none
    worker: Mapped[str | None] = mapped_column(Text)
    fetch_ms: Mapped[float | None]
    open_ms: Mapped[float | None]
    wait_ms: Mapped[float | None]  # from handing the lightness over until its batch began
    predict_ms: Mapped[float | None]  # its batch's time on the device
    compose_ms: Mapped[float | None]
    store_ms: Mapped[float | None]
    colourfulness: Mapped[float | None]  # Hasler and Suesstrunk 2003, of the output
    certainty: Mapped[float | None]  # 0..1, from a head that gives one
    clipped_share: Mapped[float | None]  # 0..1, of the output: pure black or white, where no colour can be
    review_weight: Mapped[float | None]  # the higher, the sooner a person should look; NULL when none need
    verdict: Mapped[str | None] = mapped_column(String(16))  # of the latest review; NULL where there is none
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Tally(Base):
    """How many of a chunk's scans a worker ended in an hour.

    Written with every record, from the scans' rows, so that the views sum over these and not over a million scans.
    """

    __tablename__ = "tally"
    __table_args__ = (Index("tally_by_job", "job_id", "hour"), Index("tally_by_hour", "hour"))

    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), primary_key=True)
    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)  # its beginning
    worker: Mapped[str] = mapped_column(Text, primary_key=True)  # "" where none had the scan to its end
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    done_count: Mapped[int] = mapped_column(Integer)
    failed_count: Mapped[int] = mapped_column(Integer)
    skipped_count: Mapped[int] = mapped_column(Integer)
    pixels: Mapped[int] = mapped_column(BigInteger)  # of the scans that are done
    source_bytes: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the first of these scans ended, and the last
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
