"""The job database stays true, whatever happens in whatever order. On SQLite and on PostgreSQL.

And the search that says so is searched itself: faults that are put into the queries on purpose must be found.
"""

import inspect
import os
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from db.migrations import upgrade
from db.queries import chunks, jobs, leases
from db.session import make_engine
from tests.integration.db.truth import JobTruth

# As many as the suite has time for; a thorough search takes many more.
EXAMPLES = int(os.environ.get("TEST_TRUTH_EXAMPLES", "8"))
STEPS = 20


def search(engine: Engine, examples: int, **others: Any) -> None:
    run_state_machine_as_test(
        lambda: JobTruth(engine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **others,
        ),
    )


def test_whatever_happens_the_job_database_is_true_and_every_job_can_end(engine: Engine) -> None:
    search(engine, EXAMPLES * 2, print_blob=True)


# What is put wrong: the module, its function, a piece of the function's text, and what stands there instead.
SEEDS = {
    "lost count": (leases, "record", "        chunks.recount(", "        runs and chunks.recount("),
    "chunk claimed twice": (
        chunks,
        "claim",
        "Chunk.state == ChunkState.QUEUED",
        "Chunk.state.in_((ChunkState.QUEUED, ChunkState.LEASED))",
    ),
    "double completion": (
        jobs,
        "complete_finished",
        "(JobState.RUNNING, JobState.PAUSED)",
        "(JobState.RUNNING, JobState.PAUSED, JobState.COMPLETED)",
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_search_finds_what_is_put_wrong_on_purpose(
    seed: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, piece, instead = SEEDS[seed]
    engine = make_engine(sqlite_url)
    upgrade(engine)
    monkeypatch.setattr(module, name, changed(getattr(module, name), piece, instead))

    with pytest.raises((AssertionError, IntegrityError)):
        search(engine, 400, phases=(Phase.generate,), derandomize=os.environ.get("TEST_TRUTH_RANDOM") is None)
    engine.dispose()


def changed(function: Callable[..., Any], piece: str, instead: str) -> Callable[..., Any]:
    """The function with another piece of text in it."""
    source = inspect.getsource(function)
    assert source.count(piece) == 1, f"{function.__name__} was changed: put {piece!r} right here"
    made: dict[str, Any] = {}
    exec(textwrap.dedent(source.replace(piece, instead)), function.__globals__, made)
    return made[function.__name__]  # type: ignore[no-any-return]
