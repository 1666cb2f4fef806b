"""The migrations and the models describe the same schema."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from db.errors import UsageError
from db.migrations import check_up_to_date, current_revision, upgrade
from db.models.base import Base
from db.session import make_engine, read_scope, session_scope


def test_migrations_give_what_the_models_say(engine: Engine) -> None:
    with read_scope(engine) as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})

        assert compare_metadata(context, Base.metadata) == []


def test_keys_are_ordered_by_their_bytes_whatever_the_language_of_the_database(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        return  # SQLite orders all text by its bytes
    with read_scope(engine) as session:
        columns = session.execute(
            text(
                "SELECT collation_name FROM information_schema.columns "
                "WHERE table_name = 'scan' AND column_name IN ('source_key', 'output_key')"
            )
        )
        assert [row[0] for row in columns] == ["C", "C"]


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    before = current_revision(engine)

    upgrade(engine)

    assert current_revision(engine) == before
    check_up_to_date(engine)


def test_an_empty_database_is_told_to_upgrade(sqlite_url: str) -> None:
    with pytest.raises(UsageError, match="photochrom db upgrade"):
        check_up_to_date(make_engine(sqlite_url))


def test_a_database_newer_than_the_code_is_not(engine: Engine) -> None:
    revision = current_revision(engine)
    _set_revision(engine, "9999")

    try:
        with pytest.raises(UsageError, match="newer"):
            check_up_to_date(engine)
    finally:
        _set_revision(engine, str(revision))  # other tests empty the same database and use it again


def _set_revision(engine: Engine, revision: str) -> None:
    with session_scope(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
