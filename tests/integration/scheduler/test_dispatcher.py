"""The dispatcher against a real broker: how much it sends, and what it sends again."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, update

from db.clock import database_now, utc_now
from db.models.jobs import Chunk
from db.models.pool import Worker
from db.queries.chunks import claims as chunks
from db.queries.chunks import dispatch
from db.queries.chunks.claims import ChunkMessage
from db.queries.jobs import lifecycle
from db.queries.pool import workers
from db.session import session_scope
from scheduler.daemon.dispatcher import Dispatcher
from scheduler.daemon.lease_expiry import expire
from scheduler.standalone.services import ValkeyServer
from tests.rows import make_job
from worker.broker.app_factory import make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import ServiceUnavailable
from worker.settings.settings import Settings


@pytest.fixture
def settings(valkey: ValkeyServer) -> Settings:
    return Settings(broker_url=SecretStr(valkey.url), queue_chunks_per_child=2, resend_seconds=30)


@pytest.fixture
def queue(settings: Settings) -> ChunkQueue:
    return ChunkQueue(make_app(settings, answer_seconds=2))


@pytest.fixture
def dispatcher(engine: Engine, queue: ChunkQueue, settings: Settings) -> Dispatcher:
    return Dispatcher(engine, queue, settings)


def start_worker(engine: Engine, children: int, *, heard: timedelta = timedelta()) -> None:
    at = utc_now() - heard
    with session_scope(engine) as session:
        workers.register(session, Worker(name="w", children=children, started_at=at, heartbeat_at=at))


def age_the_queue(engine: Engine, seconds: float) -> None:
    with session_scope(engine) as session:
        session.execute(update(Chunk).values(queued_at=utc_now() - timedelta(seconds=seconds)))


def test_the_queue_is_kept_at_a_few_chunks_a_child(engine: Engine, dispatcher: Dispatcher, queue: ChunkQueue) -> None:
    make_job(engine, scan_count=20, chunk_scans=1)
    start_worker(engine, children=3)

    assert [dispatcher.round(), dispatcher.round()] == [6, 0]
    assert queue.depth() == 6


@pytest.mark.parametrize("heard", [None, timedelta(minutes=5)])
def test_nothing_is_sent_while_no_worker_lives(engine: Engine, dispatcher: Dispatcher, heard: timedelta | None) -> None:
    make_job(engine, scan_count=2, chunk_scans=1)
    if heard is not None:
        start_worker(engine, children=3, heard=heard)

    assert dispatcher.round() == 0


def test_what_a_broker_lost_is_sent_again(
    engine: Engine, dispatcher: Dispatcher, queue: ChunkQueue, valkey: ValkeyServer
) -> None:
    make_job(engine, scan_count=3, chunk_scans=1)
    start_worker(engine, children=2)
    dispatcher.round()
    valkey.stop()
    valkey.start()
    age_the_queue(engine, 31)

    assert [dispatcher.round(), dispatcher.round()] == [3, 0]
    assert queue.depth() == 3


def test_messages_that_wait_in_the_broker_are_not_sent_again(
    engine: Engine, dispatcher: Dispatcher, queue: ChunkQueue
) -> None:
    make_job(engine, scan_count=3, chunk_scans=1)
    start_worker(engine, children=2)
    dispatcher.round()
    age_the_queue(engine, 3600)

    assert dispatcher.round() == 0
    assert queue.depth() == 3


def test_a_round_without_a_broker_loses_nothing(engine: Engine, dispatcher: Dispatcher, valkey: ValkeyServer) -> None:
    job_id = make_job(engine, scan_count=1)
    start_worker(engine, children=1)
    valkey.stop()
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1"):
        dispatcher.round()
    valkey.start()
    age_the_queue(engine, 31)

    assert dispatcher.round() == 1
    with session_scope(engine) as session:
        message = ChunkMessage(1, 1)
        claim = chunks.claim(session, message, worker="w/1", lease_seconds=60, now=utc_now())
    assert claim is not None
    assert claim.job.id == job_id


def test_a_more_urgent_job_goes_first(engine: Engine, dispatcher: Dispatcher) -> None:
    make_job(engine, scan_count=5, chunk_scans=1)
    urgent = make_job(engine, scan_count=2, chunk_scans=1, priority=9)
    start_worker(engine, children=1)

    dispatcher.round()

    with session_scope(engine) as session:
        queued = [each.job_id for each in session.query(Chunk).filter_by(state="queued")]
    assert queued == [urgent, urgent]


def queued_jobs(engine: Engine) -> list[int]:
    with session_scope(engine) as session:
        return [each.job_id for each in session.query(Chunk).filter_by(state="queued").order_by(Chunk.id)]


def test_a_more_urgent_job_does_not_wait_behind_what_is_queued(engine: Engine, dispatcher: Dispatcher) -> None:
    long = make_job(engine, scan_count=50, chunk_scans=1)
    start_worker(engine, children=2)
    dispatcher.round()
    urgent = make_job(engine, scan_count=3, chunk_scans=1, priority=9)

    sent = dispatcher.round()

    assert (sent, queued_jobs(engine)) == (3, [long, urgent, urgent, urgent])
    with session_scope(engine) as session:  # the messages of the other chunks are out of date now
        claims = [
            chunks.claim(session, ChunkMessage(number, 1), worker=f"w/{number}", lease_seconds=60, now=utc_now())
            for number in range(1, 5)
        ]
    assert [claim is not None for claim in claims] == [True, False, False, False]


def test_a_job_whose_priority_is_raised_does_not_wait_either(engine: Engine, dispatcher: Dispatcher) -> None:
    make_job(engine, scan_count=50, chunk_scans=1)
    other = make_job(engine, scan_count=50, chunk_scans=1)
    start_worker(engine, children=2)
    dispatcher.round()
    with session_scope(engine) as session:
        lifecycle.set_priority(session, other, 1)

    dispatcher.round()

    assert queued_jobs(engine) == [other] * 4


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite uses this machine's clock
def test_a_machine_whose_clock_is_wrong_takes_no_lease_that_lives(
    engine: Engine, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(engine, scan_count=2, chunk_scans=1)
    start_worker(engine, children=2)
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=database_now(session))
        chunks.claim(session, message, worker="w/1", lease_seconds=60, now=database_now(session))
    monkeypatch.setattr("db.clock.utc_now", lambda: datetime.now(UTC) + timedelta(days=1))

    assert expire(engine, chunk_attempts=3) == 0
    assert dispatcher.round() == 1  # the workers do not count as silent either
