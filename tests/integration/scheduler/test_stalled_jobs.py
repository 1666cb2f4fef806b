"""What `photochrom status` says of jobs that no scheduler or worker works on."""

from datetime import timedelta

from sqlalchemy import Engine, update

from db.clock import database_now
from db.models.jobs import Chunk
from db.models.pool import Scheduler, Worker
from db.queries.jobs import lifecycle
from db.queries.pool import schedulers, workers
from db.session import session_scope
from scheduler.doctor.stalled_jobs import why_stalled
from tests.rows import make_job


def hints(engine: Engine, job_id: int) -> list[str]:
    with session_scope(engine) as session:
        return why_stalled(session, [lifecycle.progress(session, job_id)], silent_seconds=20)


def start_both(engine: Engine) -> None:
    with session_scope(engine) as session:
        now = database_now(session)
        workers.register(session, Worker(name="w", children=1, started_at=now, heartbeat_at=now))
        schedulers.beat(session, "s", now=now)


def test_no_worker_or_scheduler_has_ever_connected(engine: Engine) -> None:
    said = hints(engine, make_job(engine, scan_count=1))

    assert said == [
        "no scheduler is running (none has ever connected); start one: photochrom scheduler",
        "no worker is running (none has ever connected); start one: photochrom worker",
    ]


def test_with_a_running_scheduler_and_worker_there_are_no_hints(engine: Engine) -> None:
    start_both(engine)

    assert hints(engine, make_job(engine, scan_count=1)) == []


def test_a_silent_process_is_named_with_the_time_of_its_last_message(engine: Engine) -> None:
    start_both(engine)
    with session_scope(engine) as session:
        before = database_now(session) - timedelta(minutes=5)
        for table in (Worker, Scheduler):
            session.execute(update(table).values(heartbeat_at=before))

    said = hints(engine, make_job(engine, scan_count=1))

    assert [f"the last message came at {before:%Y-%m-%d %H:%M:%S} UTC, 5 min ago" in each for each in said] == [
        True,
        True,
    ]


def test_a_process_that_stopped_on_purpose_does_not_count_as_running(engine: Engine) -> None:
    start_both(engine)
    with session_scope(engine) as session:
        schedulers.stop(session, "s", now=database_now(session))
        workers.stop(session, "w", now=database_now(session))

    assert len(hints(engine, make_job(engine, scan_count=1))) == 2


def test_chunks_that_wait_for_another_try_are_told(engine: Engine) -> None:
    start_both(engine)
    job_id = make_job(engine, scan_count=3, chunk_scans=1)
    with session_scope(engine) as session:
        later = database_now(session) + timedelta(seconds=30)
        session.execute(update(Chunk).where(Chunk.id < 3).values(not_before=later))

    [said] = hints(engine, job_id)

    assert f"job {job_id}: 2 chunks will be tried again" in said
    assert "the first in 30 s" in said
