"""A database of any earlier version, with data in it, is upgraded to this version and loses nothing."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, text

import db.migrations
from db.migrations import _without_cascades, check_up_to_date, current_revision, upgrade
from db.models.jobs import JobState, ScanState
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import make_engine, read_scope, session_scope
from tests.rows import NOON

# The rows of an earlier version. A column that is not named here gets a value by its type; a table that is not named
# here stays empty.
ROWS: dict[str, list[dict[str, Any]]] = {
    "job": [
        {"id": 1, "state": "running", "finished_at": None, "scan_count": 2, "options": {"format": "jpeg"}},
        {"id": 2, "state": "completed", "finished_at": NOON, "scan_count": 1, "options": {"format": "tiff"}},
    ],
    "chunk": [
        {"id": 1, "job_id": 1, "state": "pending", "scan_count": 2, "done_count": 0, "failed_count": 1},
        {"id": 2, "job_id": 2, "state": "done", "scan_count": 1, "done_count": 1, "failed_count": 0},
    ],
    "scan": [
        {"id": 1, "job_id": 1, "chunk_id": 1, "state": "pending", "output_key": "a"},
        {"id": 2, "job_id": 1, "chunk_id": 1, "state": "failed", "error_code": "truncated", "output_key": "b"},
        {"id": 3, "job_id": 2, "chunk_id": 2, "state": "done", "output_sha256": "0" * 64, "output_key": "a"},
    ],
    "worker": [{"name": "machine-1"}],
    "scheduler": [{"name": "machine-1"}],
    "schedule": [{"name": "nightly", "enabled": True, "next_due_at": NOON, "cron": "0 1 * * *", "timezone": "UTC"}],
    "firing": [{"state": "submitted", "job_id": 2}],
}
# Nullable columns that these rows leave empty, as their states demand.
EMPTY = {"worker", "queued_at", "lease_expires_at", "not_before", "listing"}


def earlier_revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(db.migrations.__path__[0]))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    return sorted(found)[:-1]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", earlier_revisions())
def test_an_earlier_version_s_data_is_all_there_after_an_upgrade_and_its_jobs_go_on(
    revision: str, kind: str, request: pytest.FixtureRequest
) -> None:
    engine = make_engine(request.getfixturevalue(f"{kind}_url"))
    upgrade(engine, revision)
    fill(engine)
    before = content(engine)
    assert [len(before[table]) for table in ("job", "chunk", "scan", "worker")] == [2, 2, 3, 1]

    upgrade(engine)

    check_up_to_date(engine)
    assert current_revision(engine) != revision
    after = content(engine)
    for table, rows in before.items():
        kept = [{name: row[name] for name in old} for row, old in zip(after[table], rows, strict=True)]
        assert kept == rows, table
    assert_nothing_is_orphaned(engine)
    finish(engine)
    engine.dispose()


def test_views_that_get_columns_keep_the_views_and_grants_that_others_made(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine, "0018")
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW green_outputs AS SELECT scan_id, distance FROM folder_outliers"))
        connection.execute(text("GRANT SELECT ON scan_history TO PUBLIC"))

    upgrade(engine, "0019")

    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM green_outputs")).all() == []
        readers = "SELECT table_name FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC'"
        assert "scan_history" in connection.scalars(text(readers)).all()
    engine.dispose()


def test_a_table_that_a_revision_makes_again_keeps_the_rows_that_refer_to_it(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    upgrade(engine, "0002")  # before any view, because a revision that makes a table again drops the views first
    fill(engine)
    with session_scope(_without_cascades(engine)) as session:
        operations = Operations(MigrationContext.configure(session.connection()))
        with operations.batch_alter_table("job", recreate="always") as batch:
            batch.add_column(sa.Column("later", sa.Text()))

    assert [len(rows) for table, rows in content(engine).items() if table in ("job", "chunk", "scan")] == [2, 2, 3]
    assert_nothing_is_orphaned(engine)


def fill(engine: Engine) -> None:
    """Insert the rows into every table that the database has at its revision."""
    found = MetaData()
    found.reflect(engine)
    with session_scope(engine) as session:
        for table in found.sorted_tables:
            for number, row in enumerate(ROWS.get(table.name, []), 1):
                session.execute(sa.insert(table), row_of(table, row, number))
        if engine.dialect.name == "postgresql":  # new rows must not get the ids of these rows
            for name in ("job", "chunk", "scan"):
                session.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 100)"))


def row_of(table: sa.Table, given: dict[str, Any], number: int) -> dict[str, Any]:
    made = {column.name: given.get(column.name, made_up(column, number)) for column in table.columns}
    return {name: value for name, value in made.items() if value is not None or name in given or name in EMPTY}


def made_up(column: "sa.Column[Any]", number: int) -> object:
    if column.name in EMPTY:
        return None
    if column.foreign_keys or (column.primary_key and isinstance(column.type, sa.Integer)):
        return number
    if isinstance(column.type, sa.Boolean):
        return True
    if isinstance(column.type, sa.DateTime):
        return None if column.nullable else NOON
    if isinstance(column.type, sa.JSON):
        return None if column.nullable else {"format": "source"}
    if isinstance(column.type, sa.Numeric | sa.Integer):
        return None if column.nullable else 0
    return None if column.nullable else f"{column.name[:10]} {number}"


def content(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    found.reflect(engine)
    with read_scope(engine) as session:
        return {
            table.name: [
                dict(row) for row in session.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in found.sorted_tables
            if table.name != "alembic_version"
        }


def assert_nothing_is_orphaned(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        with read_scope(engine) as session:
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []


def finish(engine: Engine) -> None:
    """Complete the job that was running."""
    later = NOON + timedelta(days=1)
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, 1, 9, now=later)
        claimed = claims.claim(session, message, worker="w/1", lease_seconds=60, now=later)
        [scan] = claims.pending_scans(session, message.chunk_id)
        done = ScanRecord(scan.id, ScanState.DONE, 1, ScanMeasurements(output_sha256="1" * 64), "w", later)
        leases.record(session, message, [done], lease_seconds=60, now=later)
        claims.release(session, message, not_before=None)
        assert claimed is not None
        assert lifecycle.complete_finished(session, now=later) == [1]
    with read_scope(engine) as session:
        assert lifecycle.get(session, 1).state == JobState.COMPLETED
