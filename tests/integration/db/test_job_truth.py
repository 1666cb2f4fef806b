"""The job database stays consistent after any steps in any order. On SQLite and on PostgreSQL.

The search itself is tested too: it must find faults that are put into the queries on purpose.
"""

import inspect
import os
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from db.errors import DatabaseRefused
from db.models.jobs import ScanState
from db.queries.chunks import claims
from db.queries.jobs import lifecycle
from db.queries.scans import leases
from db.session import make_engine
from tests.integration.db.truth.machine import JobTruth

# As many as the suite has time for; a thorough search takes many more.
EXAMPLES = int(os.environ.get("TEST_TRUTH_EXAMPLES", "8"))
STEPS = 20
# The searches for a planted fault, each with a seed of its own. Hypothesis begins with small worlds, and tries more of
# them the more examples it may try, so one long search finds less than several short ones.
SEARCHES, EXAMPLES_EACH = 12, 25


def search(engine: Engine, examples: int, *, start: int | None = None, **others: Any) -> None:
    """start: the seed of the random choices, so that they can be repeated."""

    def machine() -> JobTruth:
        return JobTruth(engine)

    run_state_machine_as_test(
        machine if start is None else seed(start)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **others,
        ),
    )


def test_after_any_steps_the_job_database_is_consistent_and_every_job_can_end(engine: Engine) -> None:
    search(engine, EXAMPLES * 2, print_blob=True)


# The planted faults: the module, its function, a piece of the function's source, and what replaces that piece.
FAULTS = {
    "lost count": (leases, "record", "        claims.recount(", "        runs and claims.recount("),
    "chunk claimed twice": (
        claims,
        "claim",
        "Chunk.state == ChunkState.QUEUED",
        "Chunk.state.in_((ChunkState.QUEUED, ChunkState.LEASED))",
    ),
    "double completion": (
        lifecycle,
        "complete_finished",
        "(JobState.RUNNING, JobState.PAUSED)",
        "(JobState.RUNNING, JobState.PAUSED, JobState.COMPLETED)",
    ),
    "expiry not counted": (claims, "lose_lease", "Chunk.lost_leases + 1", "Chunk.lost_leases"),
}
# With this fault, the scans are read before the chunk is locked, so a retry in between leaves its scans behind.
LOOKS_TOO_EARLY = (
    """
        "state": case((_HAS_NOTHING_LEFT, ChunkState.DONE), else_=ChunkState.PENDING),
""",
    """
        "state": ChunkState.PENDING if session.scalar(
            select(Scan.id).where(Scan.chunk_id == message.chunk_id, Scan.state == ScanState.PENDING).limit(1)
        ) else ChunkState.DONE,
""",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_search_finds_what_is_put_wrong_on_purpose(
    fault: str, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, piece, instead = FAULTS[fault]
    engine = make_engine(migrated_sqlite_url)
    monkeypatch.setattr(module, name, changed(getattr(module, name), piece, instead))

    def look() -> None:
        for start in range(SEARCHES):
            search(engine, EXAMPLES_EACH, start=start, phases=(Phase.generate,))

    with pytest.raises((AssertionError, DatabaseRefused)):
        look()
    engine.dispose()


def test_the_search_notices_a_record_of_an_earlier_attempt(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search finds this fault too, but only after minutes."""
    engine = make_engine(migrated_sqlite_url)
    any_attempt = changed(claims._held, "            Chunk.attempt == message.attempt,\n", "")
    monkeypatch.setattr(claims, "_held", any_attempt)
    world = JobTruth(engine)
    world.begin(scan_count=1, chunk_scans=1)

    with pytest.raises(AssertionError, match="a stale attempt recorded"):
        world.record(pick=0, meanwhile="change hands", outcomes=[ScanState.FAILED])
    world.other.shutdown()
    engine.dispose()


def test_the_search_notices_faults_that_need_two_transactions_at_once(
    migrated_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk is released while a retry is not yet committed, which is one of the pairs that the search can try."""
    engine = make_engine(migrated_postgresql_url)
    monkeypatch.setattr(claims, "release", changed(claims.release, *LOOKS_TOO_EARLY))
    world = JobTruth(engine)
    world.begin(scan_count=1, chunk_scans=1)

    with pytest.raises((AssertionError, DatabaseRefused)):
        world.two_at_once(pick=0, first="retry", second="release", outcomes=[ScanState.FAILED])
    world.other.shutdown()
    engine.dispose()


def changed(function: Callable[..., Any], piece: str, instead: str) -> Callable[..., Any]:
    """The function with a part of its source text replaced."""
    source = inspect.getsource(function)
    assert source.count(piece) == 1, f"{function.__name__} was changed: put {piece!r} right here"
    made: dict[str, Any] = {}
    exec(textwrap.dedent(source.replace(piece, instead)), function.__globals__, made)
    return made[function.__name__]  # type: ignore[no-any-return]
