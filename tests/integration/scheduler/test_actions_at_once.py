"""Two people act on the same job at the same time, on a real PostgreSQL: what one of them is told stays true."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from db.models.jobs import Chunk, ChunkState, Job, JobState, Scan
from db.queries.jobs import lifecycle, samples
from db.queries.jobs.samples import Choice
from db.queries.reports import reviews
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import jobs as job_actions
from scheduler.actions import reviews as review_actions
from scheduler.actions import samples as sample_actions
from tests.integration.db.test_races import wait_until_blocked
from tests.integration.scheduler.test_review import done
from tests.rows import NOON, make_job
from tests.waiting import PATIENCE_SECONDS
from worker.errors import Conflict
from worker.settings.settings import Settings

ADA, GRACE = Actor("ada"), Actor("grace")


@pytest.fixture
def database_url(migrated_postgresql_url: str) -> str:
    """SQLite has one lock for the whole database, so these cases do not occur there."""
    return migrated_postgresql_url


@contextmanager
def before_the_first(engine: Engine, beginning: str, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` right before the first statement with this beginning is sent."""
    actions = [action]

    def run(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if actions and statement.startswith(beginning):
            actions.pop()()

    event.listen(engine, "before_cursor_execute", run)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", run)
    assert not actions, f"no statement began with {beginning}"


def states(engine: Engine, *job_ids: int) -> list[str]:
    with read_scope(engine) as session:
        return [lifecycle.get(session, job_id).state for job_id in job_ids]


@pytest.fixture
def sampled(engine: Engine) -> int:
    """A job that waits for a choice; the jobs 2 and 3 colour its sample."""
    job_id = make_job(engine, scan_count=3)
    with session_scope(engine) as session:
        session.execute(update(Job).values(state=JobState.SAMPLED))
        job, scans = lifecycle.get(session, job_id), records.of_job(session, job_id)
        choices = [Choice(name, {"head": name}) for name in ("paper", "vivid")]
        assert samples.add(session, job, scans[:1], choices, chunk_scans=64, now=NOON) == [2, 3]
    return job_id


def test_an_approval_during_a_rejection_is_refused(engine: Engine, sampled: int, other: ThreadPoolExecutor) -> None:
    approvals: list[Future[Any]] = []

    def approve() -> None:
        settings = Settings(database_url=engine.url.render_as_string(hide_password=False))
        choice = {"head": "vivid", "saturation": None}
        approvals.append(other.submit(sample_actions.approve, engine, settings, sampled, ADA, **choice))
        wait_until_blocked(engine, approvals[0])

    with before_the_first(engine, "UPDATE job", approve):
        sample_actions.reject(engine, sampled, GRACE)

    with pytest.raises(Conflict, match="job 1 is cancelled; only a sampled job can be approved"):
        approvals[0].result(PATIENCE_SECONDS)
    assert states(engine, 1, 2, 3) == [JobState.CANCELLED] * 3


def test_a_rejection_during_an_approval_is_refused(engine: Engine, sampled: int, other: ThreadPoolExecutor) -> None:
    with session_scope(engine) as session:
        samples.approve(session, sampled, {})
        rejection = other.submit(sample_actions.reject, engine, sampled, GRACE)
        wait_until_blocked(engine, rejection)

    with pytest.raises(Conflict, match="job 1 is running; only a sampled job can be rejected"):
        rejection.result(PATIENCE_SECONDS)
    assert states(engine, 1, 2, 3) == [JobState.RUNNING] * 3


def cancel(engine: Engine, job_id: int, actor: Actor) -> None:
    job_actions.change_state(engine, job_id, "cancel", actor)


@pytest.mark.parametrize("end", [sample_actions.reject, cancel])
def test_a_part_of_the_sample_that_completes_meanwhile_does_not_keep_the_job_from_ending(
    engine: Engine, sampled: int, other: ThreadPoolExecutor, end: Callable[[Engine, int, Actor], None]
) -> None:
    with session_scope(engine) as session:
        session.execute(update(Chunk).where(Chunk.job_id == 2).values(state=ChunkState.DONE, done_count=1))

    def complete() -> None:
        with session_scope(engine) as session:
            lifecycle.complete_finished(session, now=NOON)

    with before_the_first(engine, "UPDATE job", lambda: other.submit(complete).result(PATIENCE_SECONDS)):
        end(engine, sampled, GRACE)

    assert states(engine, 1, 3) == [JobState.CANCELLED] * 2
    assert states(engine, 2)[0] in JobState.ENDED


def test_cancelling_a_job_whose_listing_ends_meanwhile_ends_the_sample(
    engine: Engine, sampled: int, other: ThreadPoolExecutor
) -> None:
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == sampled).values(state=JobState.SUBMITTING))
    with session_scope(engine) as session:
        lifecycle.start(session, sampled, other_count=0, state=JobState.SAMPLED)
        cancelling = other.submit(cancel, engine, sampled, GRACE)
        wait_until_blocked(engine, cancelling)
    cancelling.result(PATIENCE_SECONDS)

    assert states(engine, 1, 2, 3) == [JobState.CANCELLED] * 3


def colour_all(engine: Engine, job_id: int) -> None:
    with session_scope(engine) as session:
        records.record(session, [done(scan.id, 40.0) for scan in records.of_job(session, job_id)])


@pytest.fixture
def coloured(engine: Engine) -> int:
    """A job with the outputs 1, 2 and 3."""
    job_id = make_job(engine, scan_count=3)
    colour_all(engine, job_id)
    return job_id


@pytest.fixture
def redone(engine: Engine, coloured: int) -> int:
    """A job of whose outputs 1 and 2 there are two results."""
    colour_all(engine, review_actions.redo(engine, Settings(), coloured, [1, 2], ADA, changes={}))
    return coloured


def latest_verdicts(engine: Engine, scan_id: int) -> tuple[str | None, str]:
    """The verdict in the scan's row, and that of its latest review."""
    with read_scope(engine) as session:
        return session.get_one(Scan, scan_id).verdict, reviews.latest(session, [scan_id])[scan_id].verdict


def test_an_output_that_one_keeps_while_another_takes_the_new_one_is_kept_or_replaced_but_not_both(
    engine: Engine, redone: int, other: ThreadPoolExecutor
) -> None:
    choices: list[Future[list[int]]] = []

    def keep() -> None:
        choices.append(other.submit(review_actions.choose, engine, redone, [2], "earlier", ADA, chunk_scans=64))
        wait_until_blocked(engine, choices[0])

    with before_the_first(engine, "INSERT INTO job", keep):
        review_actions.choose(engine, redone, [1, 2], "new", GRACE, chunk_scans=64)

    with pytest.raises(Conflict, match=r"box/1.jpg has no two results to choose between"):
        choices[0].result(PATIENCE_SECONDS)
    assert latest_verdicts(engine, 2) == ("redone", "redone")


def redo(engine: Engine, job_id: int) -> object:
    return review_actions.redo(engine, Settings(), job_id, [1], ADA, changes={})


def accept(engine: Engine, job_id: int) -> object:
    return review_actions.decide(engine, job_id, [1], "accept", ADA)


@pytest.mark.parametrize("act", [accept, redo])
def test_of_two_verdicts_at_once_the_output_has_the_later_one(
    engine: Engine, coloured: int, other: ThreadPoolExecutor, act: Callable[[Engine, int], object]
) -> None:
    verdicts: list[Future[int]] = []

    def reject() -> None:
        verdicts.append(other.submit(review_actions.decide, engine, coloured, [1], "reject", GRACE))
        wait_until_blocked(engine, verdicts[0])

    with before_the_first(engine, "UPDATE scan", reject):
        act(engine, coloured)
    verdicts[0].result(PATIENCE_SECONDS)

    assert latest_verdicts(engine, 1) == ("rejected", "rejected")
