"""Fixtures on top of the services."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from db.migrations import current_revision, upgrade
from db.session import make_engine


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A migrated job database, once on SQLite and once on PostgreSQL."""
    engine = make_engine(database_url)
    if current_revision(engine) is None:  # a module that has a database of its own
        upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """A thread for the other one of two transactions that write at once."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
