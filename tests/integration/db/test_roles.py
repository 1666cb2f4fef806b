"""The roles in deploy/postgresql for processes: what they may do, and what they may not."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from db.errors import UsageError
from db.migrations import WorkerSupport, upgrade
from db.models.jobs import Chunk, JobState
from db.models.pool import Worker
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.pool import workers
from db.queries.scans import leases
from db.session import make_engine, session_scope
from scheduler.doctor import services
from scheduler.doctor.finding import State
from tests.roles import url_as
from tests.rows import NOON, make_job, scan_states
from worker.settings.settings import Settings

DDL = ("CREATE TABLE mine (id int)", "DROP TABLE tally", "ALTER TABLE scan ADD COLUMN mine int", "TRUNCATE scan")


@pytest.fixture
def owner(postgresql_url: str) -> Iterator[Engine]:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def worker(owner: Engine, postgresql_url: str) -> Iterator[Engine]:
    engine = make_engine(url_as("workers.sql", postgresql_url))
    yield engine
    engine.dispose()


@pytest.fixture
def scheduler(owner: Engine, postgresql_url: str) -> Iterator[Engine]:
    engine = make_engine(url_as("schedulers.sql", postgresql_url))
    yield engine
    engine.dispose()


def refuse(engine: Engine, statement: str, right: str) -> None:
    with pytest.raises(UsageError, match=right), session_scope(engine) as session:
        session.execute(text(statement))


@pytest.mark.parametrize("statement", DDL)
def test_neither_role_changes_the_schema(worker: Engine, scheduler: Engine, statement: str) -> None:
    for engine in (worker, scheduler):
        refuse(engine, statement, "the role (colourist|registrar) lacks ")


@pytest.mark.parametrize(
    ("statement", "right"),
    [
        ("SELECT * FROM account", "SELECT on table account"),
        ("SELECT * FROM api_token", "SELECT on table api_token"),
        ("SELECT * FROM web_session", "SELECT on table web_session"),
        ("INSERT INTO review (scan_id) VALUES (1)", "INSERT on table review"),
        ("UPDATE job SET state = 'cancelled'", "SELECT and UPDATE on table job"),
        ("UPDATE schedule SET enabled = false", "SELECT and UPDATE on table schedule"),
        ("DELETE FROM scan", "SELECT and DELETE on table scan"),
        ("DELETE FROM tally", "SELECT and DELETE on table tally"),
        ("DELETE FROM output_claim", "SELECT and DELETE on table output_claim"),
        ("UPDATE alembic_version SET version_num = '0001'", "SELECT and UPDATE on table alembic_version"),
    ],
)
def test_a_worker_is_refused_what_it_does_not_need(worker: Engine, statement: str, right: str) -> None:
    refuse(worker, statement, f"the role colourist lacks {right}")


def test_the_doctor_finds_nothing_wrong_with_either_role(worker: Engine, scheduler: Engine) -> None:
    for engine in (worker, scheduler):
        url = engine.url.render_as_string(hide_password=False)
        findings = list(services.database(Settings(database_url=SecretStr(url))))
        assert State.WRONG not in {finding.state for finding in findings}


def test_a_scheduler_does_not_write_the_revision(scheduler: Engine) -> None:
    refuse(scheduler, "UPDATE alembic_version SET version_num = '0001'", "UPDATE on table alembic_version")


def test_a_worker_gives_up_the_leases_of_the_dead(owner: Engine, worker: Engine) -> None:
    """It divides the chunk, and in the end fails the scan whose children all died."""
    job_id = make_job(owner, scan_count=2)
    support = WorkerSupport(worker)
    assert support.check_at_start() == ""
    with session_scope(worker) as session:
        assert support.check_again(session) == ""
        workers.register(session, Worker(name="host-1", children=1, started_at=NOON, heartbeat_at=NOON))
    for _ in range(2):
        with session_scope(owner) as session:
            messages = dispatch.take_for_dispatch(session, job_id, 9, now=NOON)
        for message in messages:
            with session_scope(worker) as session:
                assert claims.claim(session, message, worker="host-1/1", lease_seconds=9, now=NOON)
            with session_scope(worker) as session:
                assert leases.give_up(session, message, chunk_attempts=2, now=NOON, child_died=True)

    assert scan_states(owner, job_id) == ["failed", "failed"]
    with session_scope(owner) as session:
        assert session.query(Chunk).count() == 2


def test_a_scheduler_makes_jobs_and_deletes_workers(owner: Engine, scheduler: Engine) -> None:
    job_id = make_job(scheduler, scan_count=3)
    with session_scope(scheduler) as session:
        lifecycle.change_state(session, job_id, JobState.PAUSED, now=NOON)
        workers.register(session, Worker(name="host-1", children=1, started_at=NOON, heartbeat_at=NOON))
    with session_scope(scheduler) as session:
        assert workers.forget(session, heard_before=NOON.replace(year=2027)) == 1


def test_a_table_of_a_later_version_is_open_to_schedulers_only(
    owner: Engine, worker: Engine, scheduler: Engine
) -> None:
    with session_scope(owner) as session:
        session.execute(text("CREATE TABLE later (id bigserial PRIMARY KEY, word text)"))
    with session_scope(scheduler) as session:
        session.execute(text("INSERT INTO later (word) VALUES ('new')"))
    refuse(worker, "SELECT * FROM later", "SELECT on table later")
