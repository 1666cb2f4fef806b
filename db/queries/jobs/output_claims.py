"""Claims on outputs: a place in a destination belongs to one source, and one job at a time writes it.

The table's primary key decides, not a query before the insert: of two submissions at the same time, the second waits
for the commit of the first, and then finds its claim.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CursorResult,
    Insert,
    Text,
    column,
    delete,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from db.errors import Conflict
from db.models.archives import OUTPUT_KEY, ArchivedScan
from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.models.outputs import OutputClaim

T = TypeVar("T")

_NAMED = 3  # at most this many outputs are named in an error
_BATCH = 5_000  # keys in one statement: PostgreSQL takes 65,535 values, SQLite 32,766


def source_hash(uri: str) -> int:
    """The first 64 bits of the MD5, as a signed number, which PostgreSQL and SQLite store in 8 bytes."""
    digest = hashlib.md5(uri.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class _Holder:
    """Why an output can't be claimed: the job that holds it, and whether that job has another source."""

    output_key: str
    job_id: int
    is_other_source: bool


@dataclass(frozen=True, slots=True)
class _Writer:
    """A job with a scan whose output is stored at a place, or will be stored there."""

    job_id: int
    holds_place: bool
    makes_it: bool  # the job is still going to make it, or a worker is making it
    has_made_it: bool


def claim(session: Session, job: Job, keys: Mapping[str, str]) -> None:
    """Claim outputs for a job. `keys`: each output's key with the key of its scan.

    Raises Conflict, which names keys and jobs, if an output belongs to another source, or if an unfinished job or a
    worker is still going to make it. Outputs that a cancelled job did not make are free.
    """
    hashes = {f"{job.destination}/{output}": source_hash(f"{job.source}/{source}") for output, source in keys.items()}
    # All new claims are inserted first, and then all existing ones are locked, each in one order. So no two submissions
    # wait for each other: one that waits for an existing claim has no new claims left to insert, for which the other
    # could wait.
    left, rows = hashes, list[OutputClaim]()
    while left:
        parts = [dict(part) for part in _parts(sorted(left.items()))]
        old = [part for part in parts if _insert_new(session, job.id, part) < len(part)]
        rows += [row for part in old for row in _locked(session, list(part))]
        # An existing claim may have been released before it was locked. The next round inserts it again.
        left = {uri: source for part in old for uri, source in part.items()}
        for row in rows:
            left.pop(row.uri, None)
    _take(session, job, rows, hashes, is_retry=False)


def claim_again(session: Session, job: Job, failed: Sequence[ColumnElement[bool]]) -> None:
    """Claim the outputs of the job's scans that meet the conditions `failed`, before these scans are tried again.

    The job claimed them when its scans were inserted, but another job may have taken one over since. Raises Conflict if
    a job has made such an output, or is to make it.
    """
    place = literal(f"{job.destination}/") + Scan.output_key
    claimed = (
        select(OutputClaim.uri, OutputClaim.job_id, Scan.source_key)
        .join(Scan, OutputClaim.uri == place)
        .where(Scan.job_id == job.id, *failed)
        .order_by(OutputClaim.uri)
        .with_for_update(of=OutputClaim)
        .cte("claimed")
        .prefix_with("MATERIALIZED")
    )
    # All of these claims are locked, in one order. Only those of other jobs are read; mostly there are none.
    foreign = select(claimed.c.uri, claimed.c.source_key).where(claimed.c.job_id != job.id)
    hashes = {uri: source_hash(f"{job.source}/{source_key}") for uri, source_key in session.execute(foreign)}
    rows = [row for part in _parts(sorted(hashes)) for row in _locked(session, part)]
    _take(session, job, rows, hashes, is_retry=True)


def _locked(session: Session, uris: Sequence[str]) -> Sequence[OutputClaim]:
    held = select(OutputClaim).where(OutputClaim.uri.in_(uris)).order_by(OutputClaim.uri).with_for_update()
    return session.scalars(held.execution_options(populate_existing=True)).all()


def _take(
    session: Session, job: Job, rows: Sequence[OutputClaim], hashes: Mapping[str, int], *, is_retry: bool
) -> None:
    """Give these claims to the job. This transaction must hold their rows. Raises Conflict if one can't be taken."""
    holders = [holder for part in _parts(rows) for holder in _holders(session, job, part, hashes, is_retry=is_retry)]
    if holders:
        raise Conflict(_refusal(job, holders, is_retry=is_retry))
    for row in rows:
        row.job_id, row.source_hash = job.id, hashes[row.uri]
    session.flush()


def _insert_new(session: Session, job_id: int, hashes: Mapping[str, int]) -> int:
    """Insert the claims that are new, and return their number.

    They are sorted, so two submissions never wait for each other.
    """
    ordered = sorted(hashes.items())
    names = ("uri", "source_hash", "job_id")
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        uris = literal([uri for uri, _ in ordered], ARRAY(Text))
        sources = literal([source for _, source in ordered], ARRAY(BigInteger))
        places = func.unnest(uris, sources).table_valued(column("uri", Text), column("source", BigInteger))
        places = places.render_derived()
        rows = select(places.c.uri, places.c.source, literal(job_id, BigInteger))
        statement: Insert = postgresql.insert(OutputClaim).from_select(names, rows).on_conflict_do_nothing()
        values = None
    else:
        statement = sqlite.insert(OutputClaim).on_conflict_do_nothing()
        values = [dict(zip(names, (*row, job_id), strict=True)) for row in ordered]
    result = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    assert isinstance(result, CursorResult)
    return result.rowcount


def _holders(
    session: Session, job: Job, rows: Sequence[OutputClaim], hashes: Mapping[str, int], *, is_retry: bool
) -> Iterator[_Holder]:
    """The existing claims that the job can't have."""
    for claimant in {row.job_id for row in rows}:
        claimed = [row for row in rows if row.job_id == claimant]
        other_job = session.get(Job, claimant)
        if other_job is None:  # its rows were deleted, but its outputs still exist
            writers_by_uri: Mapping[str, list[_Writer]] = {}
        else:
            writers_by_uri = _writers(session, other_job.destination, [row.uri for row in claimed])
        for row in claimed:
            key, writers = row.uri.removeprefix(f"{job.destination}/"), writers_by_uri.get(row.uri, [])
            of_other_jobs = [one for one in writers if one.job_id != job.id]
            if row.source_hash == hashes[row.uri]:
                # A submission that was stopped and is continued finds its own claims. If another job has made the
                # output since the scan failed here, a retry must not make it again.
                makers = [one for one in of_other_jobs if one.makes_it or (is_retry and one.has_made_it)]
                if makers:
                    yield _Holder(key, makers[0].job_id, is_other_source=False)
            elif len(of_other_jobs) < len(writers) and not is_retry:
                continue  # two scans of this job have this output: inserting the scans raises the error
            elif not writers or any(one.holds_place for one in of_other_jobs):
                yield _Holder(key, claimant, is_other_source=True)


def _writers(session: Session, destination: str, uris: Sequence[str]) -> dict[str, list[_Writer]]:
    """For each output's URI: the jobs that have a scan with this output."""
    prefix = f"{destination}/"
    keys = [uri.removeprefix(prefix) for uri in uris]
    is_done = Scan.state == ScanState.DONE
    holds = or_(is_done, Job.state != JobState.CANCELLED, Chunk.state == ChunkState.LEASED)
    going = (Scan.state == ScanState.PENDING) & or_(Job.state.not_in(JobState.ENDED), Chunk.state == ChunkState.LEASED)
    writers: dict[str, list[_Writer]] = {}
    query = (
        select(Scan.output_key, Scan.job_id, holds, going, is_done)
        .join(Job, Job.id == Scan.job_id)
        .join(Chunk, Chunk.id == Scan.chunk_id)
        .where(Scan.output_key.in_(keys), Job.destination == destination)
    )
    for key, job_id, *facts in session.execute(query):
        writers.setdefault(prefix + key, []).append(_Writer(job_id, *map(bool, facts)))
    # This table is read last: a row that is archived meanwhile moves from the table above to it in one transaction.
    archived = (
        select(OUTPUT_KEY, ArchivedScan.job_id)
        .join(Job, Job.id == ArchivedScan.job_id)
        .where(OUTPUT_KEY.in_(keys), ArchivedScan.state == ScanState.DONE, Job.destination == destination)
    )
    for key, job_id in session.execute(archived):
        writers.setdefault(prefix + key, []).append(_Writer(job_id, True, False, True))
    return writers


def _refusal(job: Job, holders: Sequence[_Holder], *, is_retry: bool) -> str:
    of_other_sources = [holder for holder in holders if holder.is_other_source]
    shown = of_other_sources or holders
    named = ", ".join(f"{holder.output_key} (job {holder.job_id})" for holder in shown[:_NAMED])
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    if is_retry:
        return (
            f"{named}{more}: that job has taken these over since they failed in job {job.id}, and makes them or has "
            f"made them; nothing was retried; submit {job.source} again with --missing-only, to make what is missing"
        )
    if of_other_sources:
        return (
            f"{job.destination} holds outputs of another source: {named}{more}; choose another destination, or give "
            "these a folder of their own there with --output-prefix"
        )
    return (
        f"{named}{more}: an earlier job is still to make these; cancel it or wait until it has ended, "
        "and until no worker holds them"
    )


def release(session: Session, job: Job) -> None:
    """Delete the job's claims that no other job needs. Call it before the job's scans are deleted."""
    _release(session, job, Scan.job_id == job.id)


def release_unmade(session: Session, job: Job, chunk_ids: Sequence[int]) -> None:
    """As `release`, but only for those scans of these chunks that have no output. The claims of finished
    outputs stay.
    """
    _release(session, job, Scan.chunk_id.in_(chunk_ids) & (Scan.state != ScanState.DONE))


def _release(session: Session, job: Job, chosen: ColumnElement[bool]) -> None:
    other_scan, other_job, archived_job = aliased(Scan), aliased(Job), aliased(Job)
    archived = (
        select(ArchivedScan.scan_id)
        .join(archived_job, archived_job.id == ArchivedScan.job_id)
        .where(
            Scan.output_key == OUTPUT_KEY,
            ArchivedScan.state == ScanState.DONE,
            archived_job.destination == job.destination,
        )
        .exists()
    )
    needed = (
        select(other_scan.id)
        .join(other_job, other_job.id == other_scan.job_id)
        .where(
            other_scan.output_key == Scan.output_key,
            other_scan.job_id != job.id,
            other_job.destination == job.destination,
        )
        .exists()
    )
    places = select(literal(f"{job.destination}/") + Scan.output_key).where(chosen, ~needed, ~archived)
    held = (OutputClaim.job_id == job.id, OutputClaim.uri.in_(places))
    # They are locked in the order of `_locked`, because a submission that takes some over locks them at the same time.
    locked = select(OutputClaim.uri).where(*held).order_by(OutputClaim.uri).with_for_update().cte("locked")
    released = select(locked.prefix_with("MATERIALIZED").c.uri)
    session.execute(
        delete(OutputClaim)
        .where(OutputClaim.job_id == job.id, OutputClaim.uri.in_(released))
        .execution_options(synchronize_session=False)
    )


def claimants(session: Session, destination: str, output_keys: Sequence[str]) -> dict[str, int]:
    """For each of these output keys, the job that claimed it last."""
    prefix = f"{destination}/"
    jobs: dict[str, int] = {}
    for part in _parts(output_keys):
        uris = [prefix + key for key in part]
        query = select(OutputClaim.uri, OutputClaim.job_id).where(OutputClaim.uri.in_(uris))
        jobs |= {uri.removeprefix(prefix): job_id for uri, job_id in session.execute(query)}
    return jobs


def _parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
