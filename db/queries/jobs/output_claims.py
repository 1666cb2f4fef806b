"""Claims on outputs: a place in a destination belongs to one source, and one job at a time writes it.

The table's primary key decides, not a query before the insert: of two submissions at the same time, the second waits
for the commit of the first, and then finds its claim.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, BigInteger, CursorResult, Text, column, delete, func, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from db.errors import Conflict
from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan, ScanState
from db.models.outputs import OutputClaim

_NAMED = 3  # so many outputs are named in an error


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


def claim(session: Session, job: Job, keys: Mapping[str, str]) -> None:
    """Claim outputs for a job. `keys`: each output's key with the key of its scan.

    Raises Conflict, which names keys and jobs, if an output belongs to another source, or if an unfinished job or a
    worker is still going to make it. Outputs that a cancelled job did not make are free.
    """
    hashes = {f"{job.destination}/{output}": source_hash(f"{job.source}/{source}") for output, source in keys.items()}
    if _insert_new(session, job.id, hashes) == len(hashes):
        return
    rows = session.scalars(select(OutputClaim).where(OutputClaim.uri.in_(hashes)).with_for_update()).all()
    holders = list(_holders(session, job, rows, hashes))
    if holders:
        raise Conflict(_refusal(job, holders))
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
        result = connection.execute(postgresql.insert(OutputClaim).from_select(names, rows).on_conflict_do_nothing())
    else:
        result = connection.execute(
            sqlite.insert(OutputClaim).on_conflict_do_nothing(),
            [dict(zip(names, (*row, job_id), strict=True)) for row in ordered],
        )
    assert isinstance(result, CursorResult)
    return result.rowcount


def _holders(session: Session, job: Job, rows: Sequence[OutputClaim], hashes: Mapping[str, int]) -> Iterable[_Holder]:
    """The existing claims that this job can't take over."""
    for claimant in {row.job_id for row in rows}:
        claimed = [row for row in rows if row.job_id == claimant]
        other_job = session.get(Job, claimant)
        if other_job is None:  # its rows were deleted, but its outputs exist
            scans_by_uri: Mapping[str, list[tuple[bool, bool, int]]] = {}
        else:
            scans_by_uri = _scans_at(session, other_job.destination, [row.uri for row in claimed])
        for row in claimed:
            key, scans = row.uri.removeprefix(f"{job.destination}/"), scans_by_uri.get(row.uri, [])
            making = [number for _, is_made_now, number in scans if is_made_now]
            if row.source_hash == hashes[row.uri]:
                # The job's own claims are from a submission that was stopped before.
                if making and making[0] != job.id:
                    yield _Holder(key, making[0], is_other_source=False)
            elif job.id in (number for _, _, number in scans):
                continue  # two scans of this job: the insert of the scans raises the error
            elif not scans or any(holds for holds, _, _ in scans):
                yield _Holder(key, claimant, is_other_source=True)


def _scans_at(session: Session, destination: str, uris: Sequence[str]) -> dict[str, list[tuple[bool, bool, int]]]:
    """For each place, its scans as (holds the place, is being made, job id)."""
    prefix = f"{destination}/"
    keys = [uri.removeprefix(prefix) for uri in uris]
    holds = or_(Scan.state == ScanState.DONE, Job.state != JobState.CANCELLED, Chunk.state == ChunkState.LEASED)
    going = (Scan.state == ScanState.PENDING) & or_(Job.state.not_in(JobState.ENDED), Chunk.state == ChunkState.LEASED)
    scans_by_uri: dict[str, list[tuple[bool, bool, int]]] = {}
    query = (
        select(Scan.output_key, holds, going, Scan.job_id)
        .join(Job, Job.id == Scan.job_id)
        .join(Chunk, Chunk.id == Scan.chunk_id)
        .where(Scan.output_key.in_(keys), Job.destination == destination)
    )
    for key, holds_it, is_made_now, job_id in session.execute(query):
        scans_by_uri.setdefault(prefix + key, []).append((bool(holds_it), bool(is_made_now), job_id))
    return scans_by_uri


def _refusal(job: Job, holders: Sequence[_Holder]) -> str:
    of_other_sources = [holder for holder in holders if holder.is_other_source]
    shown = of_other_sources or holders
    named = ", ".join(f"{holder.output_key} (job {holder.job_id})" for holder in shown[:_NAMED])
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
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
    other_scan, other_job = aliased(Scan), aliased(Job)
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
    places = select(literal(f"{job.destination}/") + Scan.output_key).where(Scan.job_id == job.id, ~needed)
    session.execute(
        delete(OutputClaim)
        .where(OutputClaim.job_id == job.id, OutputClaim.uri.in_(places))
        .execution_options(synchronize_session=False)
    )


def claimants(session: Session, destination: str, output_keys: Sequence[str]) -> dict[str, int]:
    """By the output's key: the job that claimed it last."""
    prefix = f"{destination}/"
    query = select(OutputClaim.uri, OutputClaim.job_id).where(
        OutputClaim.uri.in_([prefix + key for key in output_keys])
    )
    return {uri.removeprefix(prefix): job_id for uri, job_id in session.execute(query)}
