"""Each error of the database is of one of three kinds: it passes by itself, a person can mend it, or it is a bug."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from db.errors import DatabaseRefused, DatabaseUnavailable, PhotochromError, UsageError
from db.migrations import check_up_to_date, upgrade
from db.models.jobs import Chunk
from db.session import make_engine, read_scope, session_scope
from tests.conftest import service_folder
from tests.pgbouncer import PGBOUNCER, PgBouncer
from tests.rows import make_job
from tests.services import PostgreSQLServer

PASSING = ("25006", "57P01", "57P02", "57P03", "53300", "53100", "08006", "08P01", "40001", "40P01", "57014", "58030")
OURS = ("23505", "23514", "42601", "25P02", "XX000")


def server_says(engine: Engine, sqlstate: str) -> None:
    with session_scope(engine) as session:
        session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{sqlstate}'; END $$"))


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Engine]:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("sqlstate", PASSING)
def test_errors_that_pass_by_themselves_mean_an_unavailable_database(postgresql: Engine, sqlstate: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="so it is"):
        server_says(postgresql, sqlstate)


@pytest.mark.parametrize("sqlstate", OURS)
def test_an_unexpected_error_is_one_sentence_too(postgresql: Engine, sqlstate: str) -> None:
    with pytest.raises(DatabaseRefused, match=f"{sqlstate}: so it is"):
        server_says(postgresql, sqlstate)


def test_a_value_that_no_column_can_keep_is_refused(postgresql: Engine) -> None:
    with pytest.raises(UsageError, match="can't keep a value"):
        server_says(postgresql, "22003")


def test_a_server_that_was_read_only_is_written_again_over_new_connections(postgresql: Engine) -> None:
    """After a failover, the open connections still lead to the server that was the primary before."""
    database = postgresql.url.database
    with postgresql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'))
    postgresql.dispose()

    with pytest.raises(DatabaseUnavailable, match="read-only now"):
        make_job(postgresql, scan_count=1)
    with postgresql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f'ALTER DATABASE "{database}" RESET default_transaction_read_only'))
        connection.execute(text("SET default_transaction_read_only = on"))  # as on the old primary
    with pytest.raises(DatabaseUnavailable):
        make_job(postgresql, scan_count=1)

    assert make_job(postgresql, scan_count=1)


@pytest.mark.parametrize(
    ("statement", "right"),
    [
        ("SELECT count(*) FROM chunk", "SELECT on table chunk"),
        ("UPDATE chunk SET attempt = 1 WHERE id = 1", "SELECT and UPDATE on table chunk"),
        ("DELETE FROM job", "SELECT and DELETE on table job"),
        ("SELECT id FROM scan FOR UPDATE", "SELECT and UPDATE on table scan"),
        ("CREATE TABLE public.mine (id int)", "CREATE on schema public"),
        ("SELECT nextval('chunk_id_seq')", "USAGE on sequence chunk_id_seq"),
        ("ALTER TABLE chunk ADD COLUMN mine int", "ownership .must be owner of table chunk"),
    ],
)
def test_a_role_without_a_right_hears_which(postgresql: Engine, statement: str, right: str) -> None:
    role = f"poor_{postgresql.url.database}"
    with session_scope(postgresql) as session:
        session.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'poor'"))
    poor = make_engine(postgresql.url.set(username=role, password="poor").render_as_string(hide_password=False))

    try:
        with pytest.raises(UsageError, match=f"role {role} lacks .*{right}"), session_scope(poor) as session:
            session.execute(text(statement))
    finally:
        poor.dispose()
        with session_scope(postgresql) as session:
            session.execute(text(f"DROP ROLE {role}"))


def test_a_pool_whose_connections_are_all_in_use_means_an_unavailable_database(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url, pool_size=1, max_overflow=0, pool_timeout=0.01)

    with read_scope(engine) as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable, match="all connections of this process"):
            check_up_to_date(engine)
    engine.dispose()


def test_a_database_without_the_tables_says_what_to_run(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)

    with pytest.raises(UsageError, match="photochrom db upgrade"), read_scope(engine) as session:
        session.get(Chunk, 1)
    engine.dispose()


def test_an_sqlite_file_that_may_not_be_written_is_named(sqlite_url: str) -> None:
    upgrade(make_engine(sqlite_url))
    read_only = make_engine(f"{sqlite_url}?mode=ro&uri=true".replace("sqlite:///", "sqlite:///file:"))

    with pytest.raises(PhotochromError, match="can't be written"):
        make_job(read_only, scan_count=1)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_the_scheme_that_providers_write_is_taken(scheme: str) -> None:
    url = make_engine(f"{scheme}://ada:secret@db.example/jobs").url

    assert (url.drivername, url.host) == ("postgresql+psycopg", "db.example")


def test_nothing_of_a_transaction_stays_behind_on_the_server(postgresql: Engine) -> None:
    """A pooler gives the connection to another client after each transaction."""
    for _ in range(10):
        with session_scope(postgresql) as session:
            session.get(Chunk, 1)
            assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "20s"

    with postgresql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "0"
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_a_pooler_in_transaction_mode_works(postgresql_url: str, postgresql_server: PostgreSQLServer) -> None:
    PGBOUNCER.require()
    database = make_url(postgresql_url).database or ""
    with service_folder() as folder, PgBouncer(folder, postgresql_server) as pooler:
        engines = [make_engine(pooler.url(database)) for _ in range(3)]
        upgrade(engines[0])
        # The clients take turns, so that each one gets connections that another one has used.
        numbers = [make_job(engine, scan_count=3) for _ in range(8) for engine in engines]
        for engine in engines:
            check_up_to_date(engine)
            engine.dispose()

    assert numbers == list(range(1, 25))
