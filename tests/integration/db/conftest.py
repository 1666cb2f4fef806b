"""Fixtures of tests in which two transactions write at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """A thread for the other transaction."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
