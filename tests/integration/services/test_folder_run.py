"""`photochrom run` before anything is coloured: locks, and what it does with jobs that are not finished."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update
from typer.testing import CliRunner

from db.clock import database_now
from db.migrations import upgrade
from db.models.jobs import Chunk, JobState
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.jobs.samples import SAMPLES
from db.session import make_engine, read_scope, session_scope
from scheduler.cli.commands.run import app
from scheduler.standalone import folder_run
from scheduler.standalone.folder_run import STATE_FOLDER, locked, take_up_unfinished
from scheduler.submission.submitter import Submission
from tests.rows import NOON
from worker.errors import UsageError
from worker.settings.settings import Settings


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    engine = make_engine(sqlite_url)
    upgrade(engine)
    return engine


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    return Submission(str(tmp_path / "scans"), str(tmp_path / "colour"))


def job(engine: Engine, submission: Submission, **values: object) -> int:
    """Make a running job between the folders of the submission. `values` replace columns of its row."""
    with session_scope(engine) as session:
        places = {"source": submission.source, "destination": submission.destination}
        job_id = lifecycle.create(session, name="job", options={}, priority=0, now=NOON, **places)
        row = lifecycle.get(session, job_id)
        for name, value in {"state": JobState.RUNNING, **values}.items():
            setattr(row, name, value)
    return job_id


def take_up(engine: Engine, submission: Submission) -> list[int]:
    return take_up_unfinished(engine, submission, Settings(database_url=str(engine.url))).job_ids


def notices(engine: Engine, submission: Submission) -> list[str]:
    return take_up_unfinished(engine, submission, Settings(database_url=str(engine.url))).notices


def add_scans(engine: Engine, job_id: int, count: int) -> None:
    scans = [NewScan(f"{number}.png", "etag", 1, f"{number}.png") for number in range(count)]
    with session_scope(engine) as session:
        lifecycle.add_scans(session, job_id, scans, chunk_scans=1)


def state(engine: Engine, job_id: int) -> str:
    with read_scope(engine) as session:
        return lifecycle.get(session, job_id).state


@pytest.mark.parametrize(
    "values",
    [
        {"selection": {"redone": 1}},
        {"report_key": "photochrom-reports/1.html"},
        {"report_key": "photochrom-reports/1.html", "state": JobState.PAUSED},
        {"source": "/elsewhere"},
    ],
    ids=["redone", "retried", "paused", "another folder"],
)
def test_redone_and_retried_scans_of_an_earlier_run_are_finished(
    engine: Engine, submission: Submission, values: dict[str, object]
) -> None:
    job_id = job(engine, submission, **values)

    assert take_up(engine, submission) == [job_id]
    assert state(engine, job_id) == JobState.RUNNING


def test_scans_that_wait_after_an_outage_are_due_when_a_person_runs_it_again(
    engine: Engine, submission: Submission
) -> None:
    job_id = job(engine, submission, selection={"redone": 1})
    with session_scope(engine) as session:
        lifecycle.add_scans(session, job_id, [NewScan("1.png", "etag", 1, "1.png")], chunk_scans=1)
        later = database_now(session) + timedelta(minutes=8)
        session.execute(update(Chunk).where(Chunk.job_id == job_id).values(not_before=later))

    take_up(engine, submission)

    with read_scope(engine) as session:
        assert session.scalar(select(Chunk.not_before).where(Chunk.job_id == job_id)) is None


def test_an_earlier_run_of_the_same_folders_is_listed_again(engine: Engine, submission: Submission) -> None:
    job_id = job(engine, submission)

    assert take_up(engine, submission) == []
    assert state(engine, job_id) == JobState.CANCELLED


def test_a_job_that_is_cancelled_is_named_with_the_scans_that_it_leaves(engine: Engine, submission: Submission) -> None:
    job_id = job(engine, submission, options={"head": "paper", "quality": 90})
    add_scans(engine, job_id, 3)

    [notice] = notices(engine, replace(submission, head="vivid"))

    assert notice == (
        "job 1 is cancelled with 3 of 3 scans left: this run takes them over in a new job, because this run has other "
        "options (head, quality)"
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "takes them over in a new job, with what is new in the folder"),
        ({"state": JobState.SUBMITTING}, "takes them over in a new job, because its listing was stopped"),
        ({"state": JobState.SAMPLED}, "takes them over in a new job, because it waited for a choice"),
        ({"state": JobState.SUBMITTING, "source": "/b"}, "because its listing was stopped; run or submit /b again"),
    ],
    ids=["stopped", "being listed", "sampled", "another folder"],
)
def test_the_reason_of_a_cancellation_is_given(
    engine: Engine, submission: Submission, values: dict[str, object], reason: str
) -> None:
    add_scans(engine, job(engine, submission, **values), 2)

    [notice] = notices(engine, submission)

    assert reason in notice


def test_a_job_that_leaves_nothing_is_cancelled_without_a_word(engine: Engine, submission: Submission) -> None:
    job(engine, submission)

    assert notices(engine, submission) == []


def test_a_choice_that_was_made_before_the_sample_s_report_is_gone_on_with(
    engine: Engine, submission: Submission
) -> None:
    job_id = job(engine, submission, options={"head": "vivid"})
    job(engine, submission, selection={"sample_of": job_id}, destination=f"{submission.destination}/{SAMPLES}1/vivid")

    assert take_up(engine, submission) == [job_id]
    assert state(engine, job_id) == JobState.RUNNING


@pytest.mark.parametrize("report_key", [None, "photochrom-reports/1-sample.html"])
def test_a_job_that_waits_for_a_choice_is_listed_again_with_the_choice(
    engine: Engine, submission: Submission, report_key: str | None
) -> None:
    job_id = job(engine, submission, state=JobState.SAMPLED, report_key=report_key)

    assert take_up(engine, submission) == []
    assert state(engine, job_id) == JobState.CANCELLED


def test_a_job_of_other_folders_that_waits_for_a_choice_is_not_waited_for(
    engine: Engine, submission: Submission
) -> None:
    job_id = job(engine, submission, source="/elsewhere", state=JobState.SAMPLED)

    assert take_up(engine, submission) == []
    assert state(engine, job_id) == JobState.SAMPLED


def test_a_job_for_another_checkpoint_is_left_as_it_is(engine: Engine, submission: Submission) -> None:
    job_id = job(engine, submission, selection={"redone": 1}, options={"checkpoint": "another"})

    assert take_up(engine, submission) == []
    assert state(engine, job_id) == JobState.RUNNING


def test_two_runs_into_one_folder_are_kept_apart_whatever_their_state_folders(tmp_path: Path) -> None:
    output = tmp_path / "colour"

    with locked(output, tmp_path / "state"), pytest.raises(UsageError, match="another photochrom works in"):
        locked(output, tmp_path / "another state").__enter__()
    with locked(output, output / STATE_FOLDER), pytest.raises(UsageError, match="another photochrom works in"):
        locked(tmp_path / "elsewhere", output / STATE_FOLDER).__enter__()


def test_a_state_folder_on_a_network_share_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans, output = tmp_path / "scans", tmp_path / "colour"
    scans.mkdir()
    (scans / "a.tif").write_bytes(b"not looked at")
    monkeypatch.setattr(folder_run, "network_share", lambda path: "nfs4" if path.is_relative_to(output) else None)

    result = CliRunner().invoke(app, [str(scans), str(output)])

    assert isinstance(result.exception, UsageError)
    assert "(nfs4)" in str(result.exception)
    assert "--state-folder" in str(result.exception)
    assert not output.exists()
