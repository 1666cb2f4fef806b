"""Fixtures on top of the services."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from db.migrations import upgrade
from db.session import make_engine


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A migrated job database, once on SQLite and once on PostgreSQL."""
    engine = make_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()
