"""Brings failed scans back to pending, and their jobs back to running."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, aliased

from db.errors import Conflict
from db.models.archives import OUTPUT_KEY, ArchivedScan
from db.models.jobs import HAS_FAILED, Chunk, Job, JobState, Scan, ScanState
from db.queries.archives import progress as archives
from db.queries.chunks import claims, tallies
from db.queries.jobs import lifecycle, output_claims
from db.queries.scans import records

T = TypeVar("T")


def retry_failed(session: Session, job_id: int, *, now: datetime, code: str | None = None) -> int:
    """Set failed scans (all, or those with one code) to pending, and their job to running. Returns how many.

    Scans that wait after an outage are due at once, because a person who retries has mended the service. Raises
    NotFound for an unknown job; Conflict if it is cancelled, if it would be aborted again at once, if another job has
    made some of the outputs since or is to make them, or if a person has accepted one.
    """
    # The job's row is locked first, so that nobody completes the job before its scans are changed.
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update(key_share=True))
    if job is None or job.state in (JobState.CANCELLED, JobState.SUBMITTING):
        current_state = lifecycle.get(session, job_id).state
        raise Conflict(
            f"job {job_id} is {current_state}; expected a job that is running or completed; submit the scans again"
        )
    archives.hold_rows(session, job_id)
    failed = (Scan.job_id == job_id, Scan.state == ScanState.FAILED, *((Scan.error_code == code,) if code else ()))
    # The chunks' rows are locked next, so that no count changes until the scans are counted again.
    to_retry = (Chunk.job_id == job_id, (Chunk.failed_count > 0) | Chunk.not_before.is_not(None))
    held = session.scalars(select(Chunk.id).where(*to_retry).order_by(Chunk.id).with_for_update()).all()
    output_claims.claim_again(session, job, failed)
    _expect_none_accepted(session, job, failed)
    _allow_no_more_for(session, job, failed)
    brought_back = 0
    for part in _parts(held, 1000):
        changed = session.scalars(
            update(Scan)
            .where(Scan.chunk_id.in_(part), *failed)
            .values(state=ScanState.PENDING, attempts=0, finished_at=None, error_code=None, error_message=None)
            .returning(Scan.chunk_id)
            .execution_options(synchronize_session=False)
        ).all()
        brought_back += len(changed)
        chunk_ids = sorted(set(changed))
        claims.reopen(session, chunk_ids)
        claims.recount(session, chunk_ids, now=now, is_retry=True)
    if brought_back and job.state in (JobState.COMPLETED, JobState.ABORTED):
        _expect_to_go_on(session, job)
        job.state, job.finished_at, job.sealed_at = JobState.RUNNING, None, None
    claims.end_pauses(session, job_id)
    return brought_back


def _allow_no_more_for(session: Session, job: Job, failed: Sequence[ColumnElement[bool]]) -> None:
    """Take back what the submission added to the job's limit for scans that were archived when they were listed."""
    if job.max_failures is not None:
        waiting = session.scalar(select(func.count()).where(*failed, ~tallies.WAS_TRIED)) or 0
        job.max_failures = max(0, job.max_failures - waiting)


def _expect_to_go_on(session: Session, job: Job) -> None:
    """Raises Conflict if the other failed scans, those with another code, are more than the job allows."""
    left = session.scalar(select(func.sum(Chunk.failed_count)).where(Chunk.job_id == job.id, HAS_FAILED)) or 0
    if job.max_failures is not None and left > job.max_failures:
        raise Conflict(
            f"job {job.id} allows {job.max_failures} failed scans, and {left} have failed with other codes: it would "
            "be aborted again at once; retry those too, or submit it again with --missing-only and more --max-failures"
        )


def _expect_none_accepted(session: Session, job: Job, failed: Sequence[ColumnElement[bool]]) -> None:
    """Raises Conflict if a person has accepted an output that an earlier job made under the same key."""
    if (job.selection or {}).get("overwrite_accepted"):
        return
    earlier, earlier_job = aliased(Scan), aliased(Job)
    query = (
        select(Scan.output_key)
        .join(earlier, earlier.output_key == Scan.output_key)
        .join(earlier_job, earlier_job.id == earlier.job_id)
        .where(Scan.job_id == job.id, *failed, earlier_job.destination == job.destination)
        .where(earlier.state == ScanState.DONE)
    )
    archived = (
        select(Scan.output_key)
        .join(ArchivedScan, Scan.output_key == OUTPUT_KEY)
        .join(earlier_job, earlier_job.id == ArchivedScan.job_id)
        .where(Scan.job_id == job.id, *failed, earlier_job.destination == job.destination)
        .where(ArchivedScan.state == ScanState.DONE)
    )
    keys = sorted({*session.scalars(query), *session.scalars(archived)})
    for part in _parts(keys, 1000):
        if accepted := sorted(records.accepted(session, job.destination, part)):
            raise Conflict(
                f"a person accepted the output that is there for {accepted[0]}; nothing was retried; to make such "
                "outputs again, submit with --overwrite-accepted"
            )


def _parts(ids: Sequence[T], size: int) -> list[Sequence[T]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
