"""One step of an archiving: the scans of a few chunks leave the table `scan`."""

from collections.abc import Sequence

from sqlalchemy import CursorResult, Select, case, delete, insert, null, select
from sqlalchemy.orm import Session

from db.models.archives import ArchivedScan
from db.models.chunk_keys import ChunkKeys
from db.models.jobs import Job, Scan
from db.models.reviews import Review
from db.queries.jobs import output_claims


def move(session: Session, job: Job, chunk_ids: Sequence[int], *, keeps_traces: bool) -> int:
    """Delete these chunks' scans and the reviews of these scans. Returns how many scans.

    The rows of chunks and tallies stay: they have the counts for progress and throughput, and they are few.
    """
    output_claims.release_unmade(session, job, chunk_ids)
    if keeps_traces:
        columns = [column.key for column in ArchivedScan.__table__.columns]
        session.execute(insert(ArchivedScan).from_select(columns, _traces(chunk_ids)))
    # These rows serve only the search for parts of keys.
    session.execute(
        delete(ChunkKeys).where(ChunkKeys.chunk_id.in_(chunk_ids)).execution_options(synchronize_session=False)
    )
    result = session.execute(
        delete(Scan).where(Scan.chunk_id.in_(chunk_ids)).execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


def _traces(chunk_ids: Sequence[int]) -> Select[tuple[object, ...]]:
    """The columns of ArchivedScan, in their order."""
    latest = select(Review).where(Review.scan_id == Scan.id).order_by(Review.id.desc()).limit(1)
    by, at = (
        case((Scan.verdict.is_not(None), latest.with_only_columns(column).scalar_subquery()))
        for column in (Review.reviewed_by, Review.reviewed_at)
    )
    return select(
        Scan.job_id,
        Scan.id,
        Scan.state,
        Scan.error_code,
        Scan.error_message,
        Scan.source_key,
        Scan.source_etag,
        case((Scan.output_key != Scan.source_key, Scan.output_key), else_=null()),
        Scan.output_bytes,
        Scan.checkpoint,
        Scan.verdict,
        by,
        at,
        Scan.finished_at,
    ).where(Scan.chunk_id.in_(chunk_ids))
