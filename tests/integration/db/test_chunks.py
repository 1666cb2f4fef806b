"""Leases: who may hold a chunk, and what becomes of it. On SQLite and on PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from db.errors import LeaseLost, UsageError
from db.models.jobs import ChunkState, JobState, ScanState
from db.queries.chunks import claims
from db.queries.chunks import dispatch as queue
from db.queries.chunks.claims import ChunkMessage
from db.queries.jobs import lifecycle, retries
from db.queries.reports import rows
from db.queries.scans import leases
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from tests.rows import NOON, chunk_of, make_job, scan_states

LATER = NOON + timedelta(minutes=10)


def dispatch(engine: Engine, job_id: int, count: int = 1, now: datetime = NOON) -> list[ChunkMessage]:
    with session_scope(engine) as session:
        return queue.take_for_dispatch(session, job_id, count, now=now)


def claim(engine: Engine, message: ChunkMessage, worker: str = "w/1", now: datetime = NOON) -> bool:
    with session_scope(engine) as session:
        return claims.claim(session, message, worker=worker, lease_seconds=60, now=now) is not None


def lose(engine: Engine, message: ChunkMessage, child_died: bool = True) -> bool:
    with session_scope(engine) as session:
        return leases.give_up(session, message, chunk_attempts=3, now=LATER, child_died=child_died)


def record_done(engine: Engine, message: ChunkMessage, scan_ids: list[int]) -> None:
    measured = ScanMeasurements(output_sha256="0" * 64, output_bytes=1)
    with session_scope(engine) as session:
        claims.extend(session, message, lease_seconds=60, now=NOON)
        scans.record(session, [ScanRecord(each, ScanState.DONE, 1, measured, "w", NOON) for each in scan_ids])
        claims.recount(session, [message.chunk_id], now=NOON)


def test_a_message_delivered_twice_is_claimed_once(engine: Engine) -> None:
    [message] = dispatch(engine, make_job(engine, scan_count=3))

    assert [claim(engine, message), claim(engine, message, worker="w/2")] == [True, False]


def test_a_message_from_before_a_lost_lease_claims_nothing(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=3)
    [old] = dispatch(engine, job_id)
    claim(engine, old)
    lose(engine, old)
    [new] = dispatch(engine, job_id)

    assert [claim(engine, old), claim(engine, new)] == [False, True]


def test_a_worker_that_lost_its_lease_cannot_record(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    [message] = dispatch(engine, job_id)
    claim(engine, message)
    lose(engine, message)

    with pytest.raises(LeaseLost):
        record_done(engine, message, [1])

    assert scan_states(engine, job_id) == [ScanState.PENDING]


def test_a_chunk_with_every_scan_recorded_is_done_and_completes_its_job(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=2)
    [message] = dispatch(engine, job_id)
    claim(engine, message)
    with read_scope(engine) as session:
        ids = [scan.id for scan in claims.pending_scans(session, message.chunk_id)]
    record_done(engine, message, ids)

    with session_scope(engine) as session:
        claims.release(session, message, not_before=None)
        assert lifecycle.complete_finished(session, now=LATER) == [job_id]

    with read_scope(engine) as session:
        progress = lifecycle.progress(session, job_id)
    assert (progress.done, progress.pending, progress.job.state) == (2, 0, JobState.COMPLETED)


def test_a_chunk_with_scans_left_goes_back_and_waits_for_its_time(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=2)
    [message] = dispatch(engine, job_id)
    claim(engine, message)

    with session_scope(engine) as session:
        claims.release(session, message, not_before=LATER)

    assert dispatch(engine, job_id, now=LATER - timedelta(seconds=1)) == []
    assert dispatch(engine, job_id, now=LATER) == [ChunkMessage(message.chunk_id, message.attempt + 1)]


def test_only_leases_that_have_ended_expire(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=2, chunk_scans=1)
    early, late = dispatch(engine, job_id, 2)
    claim(engine, early, now=NOON)
    claim(engine, late, now=LATER)

    with read_scope(engine) as session:
        assert claims.expired(session, now=NOON + timedelta(seconds=61)) == [early]


def test_a_scan_that_kills_its_workers_ends_alone_and_fails(engine: Engine) -> None:
    """When a chunk of three has lost two leases, each scan gets a chunk of its own; one more loss fails the scan."""
    job_id = make_job(engine, scan_count=3)
    for _ in range(2):
        [message] = dispatch(engine, job_id)
        claim(engine, message)
        lose(engine, message)
    singles = dispatch(engine, job_id, 10)
    assert len(singles) == 3

    claim(engine, singles[1])
    lose(engine, singles[1])

    assert scan_states(engine, job_id) == [ScanState.PENDING, ScanState.FAILED, ScanState.PENDING]
    with read_scope(engine) as session:
        assert rows.problems_by_code(session, job_id) == [("failed", "worker_killed", 1)]
        assert lifecycle.progress(session, job_id).pending == 2


def test_scans_do_not_fail_for_what_killed_their_workers(engine: Engine) -> None:
    """A worker that dies loses all its chunks. Only if a child dies alone, its scan may be the cause."""
    job_id = make_job(engine, scan_count=1)
    for _ in range(6):
        [message] = dispatch(engine, job_id)
        claim(engine, message)
        lose(engine, message, child_died=False)

    assert scan_states(engine, job_id) == [ScanState.PENDING]


def test_a_record_written_twice_counts_once(engine: Engine) -> None:
    """The connection broke in the commit, so the worker writes again what the database has."""
    job_id = make_job(engine, scan_count=2)
    [message] = dispatch(engine, job_id)
    claim(engine, message)
    records = [ScanRecord(1, ScanState.FAILED, 1, ScanMeasurements(), "w", NOON, "truncated", "it ends early")]

    for _ in range(2):
        with session_scope(engine) as session:
            leases.record(session, message, records, lease_seconds=60, now=NOON)

    assert chunk_of(engine, message.chunk_id).failed_count == 1


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.CANCELLED])
def test_a_job_stopped_behind_the_dispatchers_back_is_not_dispatched(engine: Engine, state: str) -> None:
    job_id = make_job(engine, scan_count=1)
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, state, now=NOON)

    assert dispatch(engine, job_id) == []


def test_a_lease_is_lost_once(engine: Engine) -> None:
    [message] = dispatch(engine, make_job(engine, scan_count=1))
    claim(engine, message)

    assert [lose(engine, message), lose(engine, message)] == [True, False]


def test_pausing_takes_chunks_back_from_the_broker(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    [message] = dispatch(engine, job_id)

    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.PAUSED, now=NOON)

    assert chunk_of(engine, message.chunk_id).state == ChunkState.PENDING
    assert not claim(engine, message)
    with read_scope(engine) as session:
        assert queue.waiting_by_job(session, now=NOON, limit=9) == []


def test_a_worker_hears_that_its_job_was_cancelled(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    [message] = dispatch(engine, job_id)
    claim(engine, message)

    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=NOON)
        assert claims.extend(session, message, lease_seconds=60, now=NOON) is False


def test_a_lost_message_is_sent_again_under_the_same_attempt(engine: Engine) -> None:
    [message] = dispatch(engine, make_job(engine, scan_count=1))

    with session_scope(engine) as session:
        again = queue.take_for_resend(session, 5, queued_before=NOON + timedelta(seconds=1), now=LATER)

    assert again == [message]


def test_retry_brings_failed_scans_and_their_job_back(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    for _ in range(3):
        [message] = dispatch(engine, job_id)
        claim(engine, message)
        lose(engine, message)
    with session_scope(engine) as session:
        assert lifecycle.complete_finished(session, now=LATER) == [job_id]

    with session_scope(engine) as session:
        assert retries.retry_failed(session, job_id, code="worker_killed", now=LATER) == 1

    assert len(dispatch(engine, job_id)) == 1
    with read_scope(engine) as session:
        progress = lifecycle.progress(session, job_id)
    assert (progress.failed, progress.pending, progress.job.state) == (0, 1, JobState.RUNNING)


def test_times_come_back_in_utc(engine: Engine) -> None:
    rome = datetime.fromisoformat("2026-07-01T12:00:00+02:00")
    job_id = make_job(engine, scan_count=1, now=rome)

    with read_scope(engine) as session:
        created = lifecycle.get(session, job_id).created_at

    assert (created, created.tzinfo) == (rome, UTC)


def test_a_record_repeated_because_its_answer_was_lost_counts_once(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=2)
    [message] = dispatch(engine, job_id)
    claim(engine, message)
    with read_scope(engine) as session:
        ids = [scan.id for scan in claims.pending_scans(session, message.chunk_id)]

    for _ in range(2):
        record_done(engine, message, ids)

    with read_scope(engine) as session:
        progress = lifecycle.progress(session, job_id)
        assert [scan.attempts for scan in scans.of_job(session, job_id)] == [1, 1]
    assert (progress.done, progress.pending) == (2, 0)


def test_a_lease_extended_in_the_meantime_does_not_expire(engine: Engine) -> None:
    [message] = dispatch(engine, make_job(engine, scan_count=1))
    claim(engine, message, now=NOON)
    with session_scope(engine) as session:
        claims.extend(session, message, lease_seconds=60, now=LATER)

    with session_scope(engine) as session:
        assert not leases.give_up(session, message, chunk_attempts=3, now=LATER, only_expired=True)


def test_a_paused_job_whose_last_chunk_ends_is_completed(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    [message] = dispatch(engine, job_id)
    claim(engine, message)
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.PAUSED, now=NOON)
    with read_scope(engine) as session:
        ids = [scan.id for scan in claims.pending_scans(session, message.chunk_id)]
    record_done(engine, message, ids)

    with session_scope(engine) as session:
        claims.release(session, message, not_before=None)
        assert lifecycle.complete_finished(session, now=LATER) == [job_id]


def test_scans_of_a_cancelled_job_are_not_retried(engine: Engine) -> None:
    job_id = make_job(engine, scan_count=1)
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=NOON)

    with pytest.raises(UsageError, match="cancelled"), session_scope(engine) as session:
        retries.retry_failed(session, job_id, now=LATER)


def test_a_retry_ends_the_pause_after_an_outage(engine: Engine) -> None:
    """A person who asks for a retry has mended the service, and must not wait until the pause is over."""
    job_id = make_job(engine, scan_count=3)
    [message] = dispatch(engine, job_id)
    claim(engine, message)
    with session_scope(engine) as session:
        claims.release(session, message, not_before=LATER)
    assert dispatch(engine, job_id) == []

    with session_scope(engine) as session:
        retries.retry_failed(session, job_id, now=NOON)
    assert len(dispatch(engine, job_id)) == 1
