"""A round of the scheduler never reads a finished chunk."""

import pytest
from sqlalchemy import Engine, event, text

from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.session import read_scope, session_scope
from tests.rows import NOON, make_job


@pytest.fixture
def database_url(migrated_sqlite_url: str) -> str:
    """SQLite's plans depend on the indexes alone; PostgreSQL's also depend on the number of rows."""
    return migrated_sqlite_url


def plans(engine: Engine, statements: list[tuple[str, object]]) -> list[str]:
    """How each statement reads the table chunk."""
    with engine.connect() as connection:
        steps = [
            str(row[3])
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
        ]
    return [step for step in steps if " chunk" in step]


def test_a_round_reads_no_finished_chunk(engine: Engine) -> None:
    make_job(engine, scan_count=4, chunk_scans=1)
    seen: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
    with session_scope(engine) as session:
        session.execute(text("UPDATE job SET max_failures = 1"))
    with read_scope(engine) as session:
        dispatch.waiting_by_job(session, now=NOON, limit=9)
        dispatch.queued_by_job(session)
        dispatch.queued_count(session, queued_before=NOON)
        claims.expired(session, now=NOON)
    with session_scope(engine) as session:
        lifecycle.abort_failing(session, now=NOON)
        lifecycle.complete_finished(session, now=NOON)
    read = plans(engine, [each for each in seen if " chunk" in each[0].lower()])

    assert len(read) >= 6
    assert [step for step in read if not any(index in step for index in ("_unfinished", "_out", "_failed"))] == []
