"""Which workers may work with a database during a rolling upgrade."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from db.errors import UsageError
from db.migrations import WorkerSupport, check_up_to_date, upgrade
from db.session import make_engine, read_scope, session_scope
from worker.observability.last_minute import Statistics
from worker.observability.worker_metrics import WorkerMetrics
from worker.supervision.heartbeat import Heartbeat

LATER = "9998"  # revisions that this version does not know
LATEST = "9999"


def set_revision(engine: Engine, revision: str, oldest_worker: str | None) -> None:
    with session_scope(engine) as session:
        session.execute(
            text("UPDATE alembic_version SET version_num = :revision, oldest_worker = :oldest"),
            {"revision": revision, "oldest": oldest_worker},
        )


def revision_and_oldest_worker(engine: Engine) -> tuple[str, str | None]:
    with read_scope(engine) as session:
        row = session.execute(text("SELECT version_num, oldest_worker FROM alembic_version")).one()
        return row.version_num, row.oldest_worker


@pytest.fixture
def upgraded(engine: Engine) -> Iterator[Engine]:
    """A database that a later version has upgraded; it supports the workers of this version."""
    before = revision_and_oldest_worker(engine)
    set_revision(engine, LATER, WorkerSupport(engine).head)
    yield engine
    set_revision(engine, *before)  # other tests use the same database


def check_again(support: WorkerSupport, engine: Engine) -> str:
    with session_scope(engine) as session:
        return support.check_again(session)


def heartbeat(engine: Engine) -> Heartbeat:
    metrics = WorkerMetrics()
    support, statistics = WorkerSupport(engine), Statistics(metrics)
    return Heartbeat(engine, "w", support=support, children=1, chunk_attempts=3, statistics=statistics, metrics=metrics)


def test_an_upgrade_stores_the_oldest_worker_that_its_last_revision_supports(engine: Engine) -> None:
    revision, oldest = revision_and_oldest_worker(engine)

    assert revision == WorkerSupport(engine).head
    assert oldest is not None
    assert "0019" <= oldest <= revision


def test_a_worker_of_the_databases_revision_starts_without_a_word(engine: Engine) -> None:
    support = WorkerSupport(engine)

    assert (support.check_at_start(), check_again(support, engine)) == ("", "")


def test_an_older_worker_that_the_database_supports_starts_and_is_told_to_be_upgraded(upgraded: Engine) -> None:
    support = WorkerSupport(upgraded)
    sentence = support.check_at_start()

    assert f"is at revision {LATER}, newer than this worker's {support.head}" in sentence
    assert "install the version that the other machines run" in sentence
    assert check_again(support, upgraded) == sentence


def test_other_old_processes_are_refused_although_the_database_supports_their_workers(upgraded: Engine) -> None:
    with pytest.raises(UsageError, match="newer than this version"):
        check_up_to_date(upgraded)


@pytest.mark.parametrize("oldest", [LATER, LATEST, None])
def test_a_worker_that_the_database_no_longer_supports_is_refused(upgraded: Engine, oldest: str | None) -> None:
    set_revision(upgraded, LATEST, oldest)
    support = WorkerSupport(upgraded)

    sentence = f"at revision {LATEST} and supports workers from revision {oldest or LATEST} on, .* has {support.head}; "
    with pytest.raises(UsageError, match=sentence):
        support.check_at_start()
    with pytest.raises(UsageError, match=sentence):
        check_again(support, upgraded)


@pytest.mark.parametrize("server", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", ["0001", "0019"])
def test_a_new_worker_is_refused_by_a_database_that_is_not_upgraded(
    revision: str, server: str, request: pytest.FixtureRequest
) -> None:
    engine = make_engine(request.getfixturevalue(f"{server}_url"))
    upgrade(engine, revision)

    with pytest.raises(UsageError, match=f"is at revision {revision}, expected .*photochrom db upgrade"):
        WorkerSupport(engine).check_at_start()
    engine.dispose()


def test_a_new_worker_is_refused_by_an_empty_database(postgresql_url: str) -> None:
    with pytest.raises(UsageError, match="has no Photochrom tables, expected .*photochrom db upgrade"):
        WorkerSupport(make_engine(postgresql_url)).check_at_start()


def test_a_running_worker_says_once_that_the_database_was_upgraded(
    upgraded: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    beating = heartbeat(upgraded)

    assert [beating.beat() for _ in range(3)] == ["", "", ""]
    assert sum("newer than this worker's" in record.message for record in caplog.records) == 1


def test_a_running_worker_ends_when_a_later_upgrade_no_longer_supports_it(upgraded: Engine) -> None:
    beating = heartbeat(upgraded)
    beating.check_support()
    assert beating.beat() == ""

    set_revision(upgraded, LATEST, LATER)

    with pytest.raises(UsageError, match=f"supports workers from revision {LATER} on"):
        beating.beat()
