"""Two transactions at the same time, on a real PostgreSQL: after waiting for a lock, a transaction must look again."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db.errors import Conflict
from db.models.jobs import ChunkState, JobState, ScanState
from db.queries.archives import progress
from db.queries.chunks import claims, dispatch
from db.queries.chunks.claims import ChunkMessage
from db.queries.jobs import lifecycle, retries, submissions
from db.queries.scans import records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from tests.rows import NOON, chunk_of, make_job, scan_states
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def database_url(migrated_postgresql_url: str) -> str:
    """SQLite has one lock for the whole database, so these cases do not occur there."""
    return migrated_postgresql_url


def transaction(engine: Engine, work: Callable[[Session], object]) -> object:
    with session_scope(engine) as session:
        return work(session)


def wait_until_blocked(engine: Engine, future: "Future[object]") -> None:
    """Wait until the other transaction waits for a lock, or has ended without waiting."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    while not future.done():
        with read_scope(engine) as session:
            if session.scalar(waiting):
                return


def leased(engine: Engine, job_id: int) -> ChunkMessage:
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=NOON)
        claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
    return message


def fail_all(session: Session, message: ChunkMessage) -> None:
    claims.extend(session, message, lease_seconds=60, now=NOON)
    failed = [
        ScanRecord(
            scan.id, ScanState.FAILED, 1, ScanMeasurements(), "w", NOON, error_code="truncated", error_message="it ends"
        )
        for scan in claims.pending_scans(session, message.chunk_id)
    ]
    records.record(session, failed)
    claims.recount(session, [message.chunk_id], now=NOON)


def test_a_retry_while_the_chunk_is_released_leaves_no_scan_behind(engine: Engine, other: ThreadPoolExecutor) -> None:
    job_id = make_job(engine, scan_count=1)
    message = leased(engine, job_id)
    with session_scope(engine) as session:
        fail_all(session, message)

    with session_scope(engine) as session:
        assert retries.retry_failed(session, job_id, now=NOON) == 1
        releasing = other.submit(transaction, engine, lambda its: claims.release(its, message, not_before=None))
        wait_until_blocked(engine, releasing)
    releasing.result(PATIENCE_SECONDS)

    assert scan_states(engine, job_id) == [ScanState.PENDING]
    assert chunk_of(engine, message.chunk_id).state == ChunkState.PENDING


def test_a_failure_recorded_during_a_retry_stays_or_comes_back_but_is_never_lost(
    engine: Engine, other: ThreadPoolExecutor
) -> None:
    job_id = make_job(engine, scan_count=1)
    message = leased(engine, job_id)

    with session_scope(engine) as session:
        fail_all(session, message)
        retrying = other.submit(transaction, engine, lambda its: retries.retry_failed(its, job_id, now=NOON))
        wait_until_blocked(engine, retrying)
        claims.release(session, message, not_before=None)
    retrying.result(PATIENCE_SECONDS)

    chunk, [state] = chunk_of(engine, message.chunk_id), scan_states(engine, job_id)
    assert (state, chunk.state, chunk.failed_count) in [
        (ScanState.FAILED, ChunkState.DONE, 1),
        (ScanState.PENDING, ChunkState.PENDING, 0),
    ]


def test_a_job_that_is_brought_back_meanwhile_is_not_archived(engine: Engine, other: ThreadPoolExecutor) -> None:
    job_id = make_job(engine, scan_count=1)
    message = leased(engine, job_id)
    with session_scope(engine) as session:
        fail_all(session, message)
        claims.release(session, message, not_before=None)
    with session_scope(engine) as session:
        lifecycle.complete_finished(session, now=NOON)

    def archive(its: Session) -> object:
        job = lifecycle.get(its, job_id)  # the session has the job in memory, with its old state
        assert job.state == JobState.COMPLETED
        return progress.begin(its, job_id, now=NOON + timedelta(days=2)), job

    with session_scope(engine) as session:
        assert retries.retry_failed(session, job_id, now=NOON) == 1
        archiving = other.submit(transaction, engine, archive)
        wait_until_blocked(engine, archiving)
    with pytest.raises(Conflict, match="is running; only a job that has ended can be archived"):
        archiving.result(PATIENCE_SECONDS)


def test_a_job_is_not_completed_while_its_scans_are_brought_back(engine: Engine, other: ThreadPoolExecutor) -> None:
    job_id = make_job(engine, scan_count=1)
    message = leased(engine, job_id)
    with session_scope(engine) as session:
        fail_all(session, message)
        claims.release(session, message, not_before=None)

    with session_scope(engine) as session:
        retries.retry_failed(session, job_id, now=NOON)
        completing = other.submit(transaction, engine, lambda its: lifecycle.complete_finished(its, now=NOON))
        wait_until_blocked(engine, completing)
    completing.result(PATIENCE_SECONDS)

    with read_scope(engine) as session:
        assert lifecycle.get(session, job_id).state == JobState.RUNNING


def test_a_job_cancelled_while_it_is_dispatched_leaves_nothing_with_the_broker(
    engine: Engine, other: ThreadPoolExecutor
) -> None:
    job_id = make_job(engine, scan_count=1)

    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=NOON)
        cancelling = other.submit(
            transaction, engine, lambda its: lifecycle.change_state(its, job_id, JobState.CANCELLED, now=NOON)
        )
        wait_until_blocked(engine, cancelling)
    cancelling.result(PATIENCE_SECONDS)

    assert chunk_of(engine, message.chunk_id).state == ChunkState.PENDING
    with read_scope(engine) as session:
        assert dispatch.queued_count(session) == 0


def test_two_dispatchers_at_once_take_different_chunks(engine: Engine, other: ThreadPoolExecutor) -> None:
    job_id = make_job(engine, scan_count=4, chunk_scans=1)

    with session_scope(engine) as session:
        first = dispatch.take_for_dispatch(session, job_id, 3, now=NOON)
        second = other.submit(
            transaction, engine, lambda its: dispatch.take_for_dispatch(its, job_id, 3, now=NOON)
        ).result(PATIENCE_SECONDS)

    assert isinstance(second, list)
    assert (len(first), len(second)) == (3, 1)
    assert not set(first) & set(second)


def test_two_schedulers_at_once_share_the_listings_that_wait(engine: Engine, other: ThreadPoolExecutor) -> None:
    with session_scope(engine) as session:
        for number in range(5):
            job_id = lifecycle.create(
                session, name="j", source=f"s3://b/{number}", destination="s3://b/o", options={}, priority=0, now=NOON
            )
            submissions.leave_to_schedulers(session, job_id, {}, submitted_by=None, now=NOON)

    def take(its: Session) -> list[int]:
        listings = submissions.take_waiting(its, 2, now=NOON, lease_seconds=60)
        return sorted(listing.attempt.job_id for listing in listings)

    with session_scope(engine) as session:
        assert take(session) == [1, 2]
        assert other.submit(transaction, engine, take).result(PATIENCE_SECONDS) == [3, 4]


def test_a_job_that_fails_too_often_is_aborted_while_others_record(engine: Engine) -> None:
    """With hundreds of workers, at any time one of them is recording scans of this job."""
    job_id = make_job(engine, scan_count=2, chunk_scans=1)
    with session_scope(engine) as session:
        session.execute(text("UPDATE job SET max_failures = 0"))
    failing, recording = leased(engine, job_id), leased(engine, job_id)
    with session_scope(engine) as session:
        fail_all(session, failing)

    with session_scope(engine) as session:
        fail_all(session, recording)
        with session_scope(engine) as scheduler:
            assert lifecycle.abort_failing(scheduler, now=NOON) == [job_id]
