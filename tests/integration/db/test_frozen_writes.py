"""A process that is frozen during a write keeps its row locks. PostgreSQL ends its transaction; nobody waits for it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
from sqlalchemy import Engine, update

from db.errors import DatabaseUnavailable
from db.models.jobs import Chunk, ChunkState
from db.queries.chunks import claims
from db.queries.chunks import dispatch as queue
from db.queries.chunks.claims import ChunkMessage
from db.queries.jobs import retries
from db.session import IDLE_WRITE_SECONDS, make_engine, read_scope, session_scope
from scheduler.daemon import lease_expiry
from tests.integration.db.frozen_writer import SCAN_COUNT
from tests.rows import NOON, chunk_of, make_job
from tests.waiting import PATIENCE_SECONDS

IDLE_SECONDS = 1
SOON_SECONDS = IDLE_WRITE_SECONDS / 2  # a call that waited would take at least the whole limit for idle writes


@pytest.fixture
def database_url(migrated_postgresql_url: str) -> str:
    """SQLite has one lock for the whole database, so these cases do not occur there."""
    return migrated_postgresql_url


@pytest.fixture
def hasty(migrated_postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The same database, with a short limit for idle transactions that write."""
    monkeypatch.setattr("db.session.IDLE_WRITE_SECONDS", IDLE_SECONDS)
    engine = make_engine(migrated_postgresql_url)
    yield engine
    engine.dispose()


def leased(engine: Engine, job_id: int, count: int = 1) -> list[ChunkMessage]:
    with session_scope(engine) as session:
        messages = queue.take_for_dispatch(session, job_id, count, now=NOON)
        for message in messages:
            claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
    return messages


@contextmanager
def frozen_writer(message: ChunkMessage, url: str) -> Iterator[None]:
    """A process that is frozen while it records the results of a chunk's scans."""
    arguments = [url, str(message.chunk_id), str(message.attempt), str(IDLE_SECONDS)]
    writer = subprocess.Popen([sys.executable, "-m", "tests.integration.db.frozen_writer", *arguments])
    try:
        while psutil.Process(writer.pid).status() != psutil.STATUS_STOPPED:
            assert writer.poll() is None
            time.sleep(0.05)
        yield
    finally:
        writer.kill()
        writer.wait()


def test_a_child_frozen_while_it_records_loses_its_lease(engine: Engine, migrated_postgresql_url: str) -> None:
    [message] = leased(engine, make_job(engine, scan_count=SCAN_COUNT))

    with frozen_writer(message, migrated_postgresql_url):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while lease_expiry.expire(engine, chunk_attempts=3) == 0:
            assert time.monotonic() < deadline, "its transaction goes on, and holds the chunk's row"
            time.sleep(0.1)

    assert chunk_of(engine, message.chunk_id).state == ChunkState.PENDING


def test_a_write_that_goes_on_after_its_end_says_so(engine: Engine, hasty: Engine) -> None:
    [message] = leased(engine, make_job(engine, scan_count=1))

    def write() -> None:
        with session_scope(hasty) as session:
            claims.extend(session, message, lease_seconds=60, now=NOON)
            time.sleep(2 * IDLE_SECONDS)
            claims.extend(session, message, lease_seconds=60, now=NOON)

    with pytest.raises(DatabaseUnavailable):
        write()


def test_an_idle_reader_is_not_disconnected(hasty: Engine, engine: Engine) -> None:
    make_job(engine, scan_count=1)

    with read_scope(hasty) as session:
        queue.queued_count(session)
        time.sleep(2 * IDLE_SECONDS)
        assert queue.queued_count(session) == 0


def test_a_chunk_that_is_locked_does_not_delay_the_expiry_of_others(engine: Engine, other: ThreadPoolExecutor) -> None:
    held, free = leased(engine, make_job(engine, scan_count=2, chunk_scans=1), 2)

    with session_scope(engine) as session:
        session.execute(update(Chunk).where(Chunk.id == held.chunk_id).values(lost_leases=0))
        expiring: Future[int] = other.submit(lease_expiry.expire, engine, chunk_attempts=3)
        assert expiring.result(SOON_SECONDS) == 1
    assert chunk_of(engine, free.chunk_id).state == ChunkState.PENDING

    assert lease_expiry.expire(engine, chunk_attempts=3) == 1
    assert chunk_of(engine, held.chunk_id).state == ChunkState.PENDING


def test_a_job_that_is_locked_does_not_delay_the_dispatch_of_others(engine: Engine, other: ThreadPoolExecutor) -> None:
    held, free = make_job(engine, scan_count=1), make_job(engine, scan_count=1)

    def dispatch(job_id: int) -> int:
        with session_scope(engine) as session:
            return len(queue.take_for_dispatch(session, job_id, 1, now=NOON))

    with session_scope(engine) as session:
        assert retries.retry_failed(session, held, now=NOON) == 0
        assert [other.submit(dispatch, each).result(SOON_SECONDS) for each in (held, free)] == [0, 1]
    assert dispatch(held) == 1
