"""Scans: record their results, and list them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Executable, Select, and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from db.models.archives import OUTPUT_KEY, ArchivedScan
from db.models.jobs import Job, JobState, Scan, ScanState
from db.models.reviews import Verdict
from db.queries import bulk
from db.queries.archives import progress as archives
from db.queries.chunks import claims
from db.queries.scans import review_weight
from db.queries.substrings import begins_with
from db.session import read_scope

_PAGE = 1_000


@dataclass(slots=True)
class ScanMeasurements:
    """What was measured of a scan. It is filled step by step, so that a failed scan keeps what was measured before.

    Times are in milliseconds, sizes in bytes or pixels.
    """

    source_bytes: int | None = None
    source_sha256: str | None = None
    output_bytes: int | None = None
    output_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    bit_depth: int | None = None
    pages: int | None = None
    picture_left: int | None = None
    picture_top: int | None = None
    picture_width: int | None = None
    picture_height: int | None = None
    lost_metadata: str | None = None
    software: str | None = None
    checkpoint: str | None = None
    head: str | None = None
    embedding: str | None = None
    saturation: float | None = None
    precision: str | None = None
    input_px: int | None = None
    doubtful_below: float | None = None
    fetch_ms: float | None = None
    open_ms: float | None = None
    wait_ms: float | None = None
    predict_ms: float | None = None
    compose_ms: float | None = None
    store_ms: float | None = None
    colourfulness: float | None = None
    mean_a: float | None = None
    mean_b: float | None = None
    certainty: float | None = None
    clipped_share: float | None = None


_MEASURED = tuple(field.name for field in fields(ScanMeasurements))
# Only outputs have these. During an upgrade, a worker of an earlier version may make the output of a scan that failed
# at a newer one. The earlier version does not write these columns, so they must be empty then.
_OF_OUTPUTS = ("software", "mean_a", "mean_b")


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """The new contents of one row; the state PENDING means that the scan is tried again."""

    scan_id: int
    state: str
    attempts: int  # including this one
    measurements: ScanMeasurements
    worker: str
    finished_at: datetime
    error_code: str | None = None
    error_message: str | None = None


def record(session: Session, records: Sequence[ScanRecord]) -> None:
    """Write rows in bulk.

    The caller must have extended the chunk's lease in the same transaction, so that nobody else writes these rows.
    """
    if not records:
        return
    bulk.update_scans(session, [_row(record) for record in records])


def _row(record: ScanRecord) -> dict[str, object]:
    measurements = {name: getattr(record.measurements, name) for name in _MEASURED}
    if measurements["source_bytes"] is None:
        del measurements["source_bytes"]  # the size from the listing stays
    if record.state != ScanState.DONE:
        measurements |= dict.fromkeys(_OF_OUTPUTS)
    ended = record.state != ScanState.PENDING
    return {
        "id": record.scan_id,
        "state": record.state,
        "attempts": record.attempts,
        "worker": record.worker,
        "finished_at": record.finished_at if ended else None,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "review_weight": review_weight.weight(record.measurements) if record.state == ScanState.DONE else None,
        **measurements,
    }


def fail_pending(session: Session, chunk_id: int, *, code: str, message: str, now: datetime) -> int:
    """Set every pending scan of a chunk to failed, and the chunk to done. Returns how many.

    The chunk must be pending and this transaction must hold its row.
    """
    failed = session.execute(
        update(Scan)
        .where(Scan.chunk_id == chunk_id, Scan.state == ScanState.PENDING)
        .values(
            state=ScanState.FAILED,
            error_code=code,
            error_message=message,
            attempts=Scan.attempts + 1,
            finished_at=now,
        )
        .returning(Scan.id)
        .execution_options(synchronize_session=False)
    ).all()
    claims.recount(session, [chunk_id], now=now)
    claims.finish(session, chunk_id)
    return len(failed)


def of_job(
    session: Session, job_id: int, *, state: str | None = None, after_id: int = 0, limit: int | None = None
) -> list[Scan]:
    """A job's scans in the order of the listing, beginning after the id `after_id`."""
    query = _of_job(job_id, state).where(Scan.id > after_id)
    return list(session.scalars(query.limit(limit) if limit else query))


def stream(engine: Engine, job_id: int, *, state: str | None = None) -> Iterator[Scan]:
    """As `of_job`, read page by page, for a job with too many scans for the memory.

    Each page has its own transaction. A reader may take hours (`photochrom scans 1 --json | less`), and while a
    transaction is open for so long, PostgreSQL can't remove old rows of any table.

    Raises Conflict or NotFound after the last scan if somebody began to archive or delete the job meanwhile, because
    scans may be missing then.
    """
    after = 0
    while True:
        with read_scope(engine) as session:
            page = of_job(session, job_id, state=state, after_id=after, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            break
        after = page[-1].id
    with read_scope(engine) as session:
        archives.expect_rows(session, job_id)


def _of_job(job_id: int, state: str | None) -> Select[Scan]:
    query = select(Scan).where(Scan.job_id == job_id).order_by(Scan.id)
    return query.where(Scan.state == state) if state else query


def done_before(
    session: Session, *, job_ids: Sequence[int], checkpoints: Sequence[str], output_keys: Sequence[str]
) -> set[tuple[str, str | None, int | None]]:
    """Those of these outputs that one of these jobs made with one of these checkpoints, or skipped.

    Each as (output key, ETag of its source, bytes of the output; None if there is no output).
    """
    by_these_checkpoints = (Scan.state == ScanState.DONE) & Scan.checkpoint.in_(checkpoints)
    rows = session.execute(
        select(Scan.output_key, Scan.source_etag, Scan.output_bytes).where(
            Scan.job_id.in_(job_ids),
            by_these_checkpoints | (Scan.state == ScanState.SKIPPED),
            Scan.output_key.in_(output_keys),
        )
    )
    return {(row[0], row[1], row[2]) for row in rows}


def ended_before(
    session: Session, *, job_ids: Sequence[int], failed: Collection[str], output_keys: Sequence[str]
) -> set[tuple[str, str | None, int | None]]:
    """Those of these outputs that one of these jobs has made, has skipped, or could not make because of an error in
    `failed`.

    The form is that of `done_before`. For a failed scan the bytes are -1, because it has no output.
    """
    unfit = (Scan.state == ScanState.FAILED) & Scan.error_code.in_(failed)
    size = case((Scan.state == ScanState.FAILED, -1), else_=Scan.output_bytes)
    rows = session.execute(
        select(Scan.output_key, Scan.source_etag, size).where(
            Scan.job_id.in_(job_ids),
            Scan.state.in_((ScanState.DONE, ScanState.SKIPPED)) | unfit,
            Scan.output_key.in_(output_keys),
        )
    )
    return {(row[0], row[1], row[2]) for row in rows}


def failed_last(
    session: Session, *, job_ids: Sequence[int], codes: Collection[str], output_keys: Sequence[str]
) -> set[tuple[str, str | None]]:
    """Those of these outputs that one of these jobs failed to make, with one of the codes, and that no job tried since.

    Each as (output key, ETag of the source).
    """
    ended = (ScanState.DONE, ScanState.SKIPPED, ScanState.FAILED)
    live = select(Scan.output_key, Scan.source_etag, Scan.error_code, Scan.finished_at, Scan.id).where(
        Scan.job_id.in_(job_ids), Scan.output_key.in_(output_keys), Scan.state.in_(ended)
    )
    columns = (ArchivedScan.source_etag, ArchivedScan.error_code, ArchivedScan.finished_at, ArchivedScan.scan_id)
    archived = select(OUTPUT_KEY, *columns).where(ArchivedScan.job_id.in_(job_ids), OUTPUT_KEY.in_(output_keys))
    last = {row[0]: (row[1], row[2]) for row in _by_end(session, live, archived)}
    return {(key, etag) for key, (etag, code) in last.items() if code in codes}


def to_be_made(session: Session, *, job_ids: Sequence[int], output_keys: Sequence[str]) -> set[tuple[str, str | None]]:
    """Those of these outputs that one of these jobs is still to make, as (output key, ETag of its source).

    Only completely listed, unfinished jobs count.
    """
    rows = session.execute(
        select(Scan.output_key, Scan.source_etag)
        .join(Job, Job.id == Scan.job_id)
        .where(
            Scan.job_id.in_(job_ids),
            Scan.output_key.in_(output_keys),
            Scan.state == ScanState.PENDING,
            Job.state.in_((JobState.RUNNING, JobState.PAUSED)),
        )
    )
    return {(row[0], row[1]) for row in rows}


def _by_end(session: Session, live: Executable, archived: Executable) -> list[Any]:
    """The rows of both, sorted by `finished_at` and then by the id, which is their last column."""
    rows = [row for query in (live, archived) for row in session.execute(query)]
    return sorted(rows, key=lambda row: (row.finished_at.timestamp() if row.finished_at else 0.0, row[-1]))


def accepted(session: Session, destination: str, keys: Sequence[str]) -> set[str]:
    """Those of these keys whose output a person has accepted. An output that was made again since does not count."""
    live = (
        select(Scan.output_key, Scan.verdict, Scan.finished_at, Scan.id)
        .join(Job, Job.id == Scan.job_id)
        .where(Job.destination == destination, Scan.state == ScanState.DONE, Scan.output_key.in_(keys))
    )
    archived = (
        select(OUTPUT_KEY, ArchivedScan.verdict, ArchivedScan.finished_at, ArchivedScan.scan_id)
        .join(Job, Job.id == ArchivedScan.job_id)
        .where(Job.destination == destination, ArchivedScan.state == ScanState.DONE, OUTPUT_KEY.in_(keys))
    )
    # If a key has several outputs, the one that was done last counts.
    verdicts: dict[str, str | None] = {row[0]: row[1] for row in _by_end(session, live, archived)}
    return {key for key, verdict in verdicts.items() if verdict == Verdict.ACCEPTED}


def kept(session: Session, destination: str, keys: Sequence[str]) -> set[str]:
    """Those of these keys with an output that a submission must not replace, because a person decided on it.

    These are outputs that a person accepted, outputs that are to be redone, and redone outputs that nobody has
    rejected.
    """
    live = (
        select(Scan.output_key, Scan.verdict, Job.selection, Scan.finished_at, Scan.id)
        .join(Job, Job.id == Scan.job_id)
        .where(Job.destination == destination, Scan.state == ScanState.DONE, Scan.output_key.in_(keys))
    )
    archived = (
        select(OUTPUT_KEY, ArchivedScan.verdict, Job.selection, ArchivedScan.finished_at, ArchivedScan.scan_id)
        .join(Job, Job.id == ArchivedScan.job_id)
        .where(Job.destination == destination, ArchivedScan.state == ScanState.DONE, OUTPUT_KEY.in_(keys))
    )
    # If a key has several outputs, the one that was done last counts.
    last = {row[0]: (row[1], "redone" in (row[2] or {})) for row in _by_end(session, live, archived)}
    decided = (Verdict.ACCEPTED, Verdict.REDONE)
    return {
        key
        for key, (verdict, is_redo) in last.items()
        if verdict in decided or (is_redo and verdict != Verdict.REJECTED)
    }


@dataclass(frozen=True, slots=True)
class Output:
    """The output that was stored under a key last."""

    bytes: int
    sha256: str


def outputs_in(session: Session, destination: str, keys: Sequence[str]) -> dict[str, Output]:
    """What jobs with this destination stored under these keys; if there were several, the latest."""
    rows = session.execute(
        select(Scan.output_key, Scan.output_bytes, Scan.output_sha256)
        .join(Job, Job.id == Scan.job_id)
        .where(Job.destination == destination, Scan.state == ScanState.DONE, Scan.output_key.in_(keys))
        .order_by(Scan.finished_at, Scan.id)
    )
    return {key: Output(size or 0, sha256 or "") for key, size, sha256 in rows}


def stored_last(session: Session, destination: str, keys: Sequence[str]) -> dict[str, tuple[Scan, Job]]:
    """For each of these keys, the done scan of this destination that was done last, with its job."""
    rows = session.execute(
        select(Scan, Job)
        .join(Job, Job.id == Scan.job_id)
        .where(Job.destination == destination, Scan.state == ScanState.DONE, Scan.output_key.in_(keys))
        .order_by(Scan.finished_at, Scan.id)
    )
    return {scan.output_key: (scan, job) for scan, job in rows}


def count_outputs_in(session: Session, destination: str, folder: str) -> int:
    """How many done outputs of this destination have a key that begins with `folder`."""
    return int(
        session.scalar(
            select(func.count(Scan.output_key.distinct()))
            .join(Job, Job.id == Scan.job_id)
            .where(
                Job.destination == destination,
                Scan.state == ScanState.DONE,
                begins_with(Scan.output_key, folder),
            )
        )
        or 0
    )


def outputs_at(session: Session, destination: str, keys: Sequence[str]) -> set[str]:
    """Those of these keys that are outputs which a job with this destination has made or is still to make.

    An output that is still to be made may exist already: stored, but not recorded yet. Outputs that a cancelled job did
    not make are not among them.
    """
    to_do = and_(Scan.state == ScanState.PENDING, Job.state != JobState.CANCELLED)
    live = (
        select(Scan.output_key)
        .join(Job, Job.id == Scan.job_id)
        .where(Job.destination == destination, Scan.output_key.in_(keys), or_(Scan.state == ScanState.DONE, to_do))
    )
    archived = (
        select(OUTPUT_KEY)
        .join(Job, Job.id == ArchivedScan.job_id)
        .where(Job.destination == destination, OUTPUT_KEY.in_(keys), ArchivedScan.state == ScanState.DONE)
    )
    return {*session.scalars(live), *session.scalars(archived)}
