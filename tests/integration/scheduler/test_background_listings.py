"""Listings that schedulers do: which tries count, and what ends them."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from db.clock import database_now
from db.models.jobs import Job, JobState
from db.queries.jobs import submissions
from db.queries.jobs.submissions import SubmissionAttempt
from db.session import read_scope, session_scope
from scheduler.daemon.background_listings import TRIES, BackgroundListings
from scheduler.submission.submitter import Submission, Submitter
from tests.at_once import AtOnce
from worker.errors import CredentialsRefused
from worker.settings.settings import Settings
from worker.storage import S3Options


@pytest.fixture
def job_id(engine: Engine, tmp_path: Path) -> int:
    """A job that waits for a scheduler to list its source."""
    for name in ("scans", "colour"):
        (tmp_path / name).mkdir()
    (tmp_path / "scans" / "a.tif").write_bytes(b"not looked at")
    submitter = Submitter(engine, s3=S3Options(), chunk_scans=64, checkpoints=list)
    submitted = submitter.submit_later(Submission(str(tmp_path / "scans"), str(tmp_path / "colour")))
    assert submitted.job_id is not None
    return submitted.job_id


def job(engine: Engine, job_id: int) -> Job:
    with read_scope(engine) as session:
        return session.get_one(Job, job_id)


def scheduler(engine: Engine) -> BackgroundListings:
    return BackgroundListings(engine, Settings(), AtOnce())


def begin_and_die(engine: Engine) -> SubmissionAttempt:
    """A scheduler takes the listing, and is not heard of again until its lease has ended."""
    with session_scope(engine) as session:
        [listing] = submissions.take_waiting(session, 1, now=database_now(session), lease_seconds=-1)
    return listing.attempt


def test_a_listing_outlives_any_number_of_restarts(engine: Engine, job_id: int) -> None:
    for _ in range(TRIES + 3):
        stopping = scheduler(engine)
        stopping.stop()
        stopping.round()
    assert job(engine, job_id).state == JobState.SUBMITTING
    assert job(engine, job_id).listing_attempt == TRIES + 3

    scheduler(engine).round()

    assert job(engine, job_id).state == JobState.RUNNING


def test_a_listing_in_which_every_scheduler_dies_is_given_up(engine: Engine, job_id: int) -> None:
    assert [begin_and_die(engine).tries for _ in range(TRIES)] == list(range(1, TRIES + 1))

    scheduler(engine).round()

    row = job(engine, job_id)
    assert row.state == JobState.CANCELLED
    assert f"given up after {TRIES} tries: its scheduler died" in str(row.listing)


def test_a_page_that_is_listed_keeps_the_count_and_a_person_who_goes_on_ends_it(engine: Engine, job_id: int) -> None:
    attempt = begin_and_die(engine)
    with session_scope(engine) as session:
        submissions.advance(session, attempt, {"position": "a.tif", "counts": {}})
    assert begin_and_die(engine).tries == 2

    with session_scope(engine) as session:
        by_hand = submissions.take_over(session, job_id, name="job", priority=0, submitted_by="ada")
    assert by_hand is not None
    assert (by_hand.tries, by_hand.before) == (0, {"position": "a.tif", "counts": {}})


def test_a_listing_waits_for_credentials_that_have_expired(
    engine: Engine, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CredentialsRefused("ExpiredToken")

    with monkeypatch.context() as patched:
        patched.setattr(Submitter, "go_on", refuse)
        scheduler(engine).round()
    row = job(engine, job_id)
    assert (row.state, (row.listing or {})["problem"]) == (JobState.SUBMITTING, "ExpiredToken")
    with session_scope(engine) as session:
        session.execute(update(Job).values(listing_lease_expires_at=database_now(session) - timedelta(seconds=1)))

    scheduler(engine).round()

    assert job(engine, job_id).state == JobState.RUNNING
