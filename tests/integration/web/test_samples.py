"""A job that colours a sample first, waits, and continues with the choice of a person."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, delete, select

from db.models.jobs import Chunk, JobState, Scan
from db.queries.jobs import lifecycle, samples
from db.queries.jobs.lifecycle import NewScan
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import model_choices, submissions
from scheduler.actions import samples as actions
from scheduler.actions.jobs import change_state
from scheduler.report.sample import sample_page
from scheduler.submission.request import Submission
from scheduler.submission.sampling import SampleRequest, parse_sample
from tests.integration.web.conftest import Web, form, write_picture
from tests.rows import NOON
from worker.errors import Conflict, UsageError

ADA = Actor("ada")


@pytest.fixture
def sampled(web: Web, engine: Engine) -> int:
    """A job over 40 scans in four boxes, and its sample of eight in four ways."""
    source = web.source.parent / "boxes"
    for number in range(40):
        write_picture(source / f"box-{number % 4}" / f"{number}.jpg", number, bands=1, width=8 + number, height=8)
    request = parse_sample(8, "paper,vivid", "1.0,1.3")
    destination = str(web.source.parent / "boxes in colour")
    submission = Submission(str(source), destination, format="tiff", sample=request)
    submitted = submissions.submit(engine, web.context.settings, submission, ADA)
    assert submitted.samples == [3, 4, 5, 6]
    assert submitted.job_id is not None
    return submitted.job_id


def test_the_job_waits_while_each_choice_is_a_job_of_its_own(engine: Engine, sampled: int) -> None:
    with read_scope(engine) as session:
        job, tried = lifecycle.get(session, sampled), samples.of_job(session, sampled)

    assert job.state == JobState.SAMPLED
    assert [progress.job.options.get("head") for progress in tried] == ["paper", "paper", "vivid", "vivid"]
    assert [progress.job.options.get("saturation") for progress in tried] == [1.0, 1.3, 1.0, 1.3]
    assert {progress.job.options["format"] for progress in tried} == {"tiff"}
    assert [progress.total for progress in tried] == [8] * 4
    assert tried[3].job.destination == f"{job.destination}/photochrom-samples/{sampled}/vivid-1.3"


def test_the_sample_is_spread_over_folders_and_sizes(engine: Engine, sampled: int) -> None:
    with read_scope(engine) as session:
        keys = session.scalars(select(Scan.source_key).where(Scan.job_id == 3)).all()

    boxes = [key.partition("/")[0] for key in keys]
    assert sorted(boxes) == sorted(["box-0", "box-1", "box-2", "box-3"] * 2)


def test_the_same_seed_gives_the_same_sample(engine: Engine) -> None:
    with session_scope(engine) as session:
        job_id = lifecycle.create(session, name="x", source="a", destination="b", options={}, priority=0, now=NOON)
        listed = [NewScan(f"box/{number:03}.jpg", None, number, f"{number}") for number in range(100)]
        lifecycle.add_scans(session, job_id, listed, chunk_scans=64)
        once, again = (samples.spread(session, job_id, 10, scan_count=100, offset=0.5) for _ in range(2))

    assert [scan.source_key for scan in once] == [scan.source_key for scan in again]
    assert [scan.source_key for scan in once] == [f"box/{number:03}.jpg" for number in range(5, 100, 10)]


def test_approval_releases_the_rest_with_the_choice(engine: Engine, web: Web, sampled: int) -> None:
    browser = web.browser()
    assert "Approve" in browser.get(f"/jobs/{sampled}/sample").text

    browser.post(f"/jobs/{sampled}/approve", data=form(head="vivid", saturation="1.3"))

    with read_scope(engine) as session:
        job = lifecycle.get(session, sampled)
    assert (job.state, job.options["head"], job.options["saturation"]) == (JobState.RUNNING, "vivid", 1.3)
    assert job.options["format"] == "tiff"
    with pytest.raises(Conflict, match="only a sampled job"):
        actions.approve(engine, web.context.settings, sampled, ADA, head=None, saturation=None)


def test_a_head_that_nobody_has_is_not_approved(
    engine: Engine, web: Web, sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_choices, "_own_card", lambda settings: SimpleNamespace(heads=("paper",)))

    with pytest.raises(UsageError, match="the head 'vivid': neither a running worker nor this machine has it"):
        actions.approve(engine, web.context.settings, sampled, ADA, head="vivid", saturation=None)

    with read_scope(engine) as session:
        assert lifecycle.get(session, sampled).state == JobState.SAMPLED


@pytest.mark.parametrize(
    ("saturation", "names"), [(1.3, []), (1.1, ["paper 1", "paper 1.3", "vivid 1", "vivid 1.3"])], ids=["shown", "new"]
)
def test_an_approval_says_whether_the_sample_showed_the_choice(
    engine: Engine, web: Web, sampled: int, saturation: float, names: list[str]
) -> None:
    choice = {"head": "vivid", "saturation": saturation}

    assert actions.approve(engine, web.context.settings, sampled, ADA, **choice) == names  # type: ignore[arg-type]


def test_rejection_ends_the_job_and_what_is_left_of_its_sample(engine: Engine, sampled: int) -> None:
    actions.reject(engine, sampled, ADA)

    with read_scope(engine) as session:
        states = {lifecycle.get(session, number).state for number in range(2, 7)}
    assert states == {JobState.CANCELLED}


def test_cancelling_a_sampled_job_ends_its_sample_too(engine: Engine, sampled: int) -> None:
    change_state(engine, sampled, "cancel", ADA)

    with read_scope(engine) as session:
        states = {lifecycle.get(session, number).state for number in range(2, 7)}
    assert states == {JobState.CANCELLED}


def test_the_report_of_a_sample_says_how_to_go_on(engine: Engine, web: Web, sampled: int) -> None:
    with read_scope(engine) as session:
        page = sample_page(session, lifecycle.get(session, sampled), web.context.settings.s3_options)

    assert f"photochrom approve {sampled} --head vivid --saturation 1.3" in page
    assert page.count("data:image/jpeg") == 8  # grey; nothing is coloured yet


@pytest.mark.parametrize("archived", [3, 4])
def test_a_sample_is_shown_though_the_rows_of_one_of_its_jobs_are_archived(
    engine: Engine, web: Web, sampled: int, archived: int
) -> None:
    with session_scope(engine) as session:
        session.execute(delete(Scan).where(Scan.job_id == archived))
        session.execute(delete(Chunk).where(Chunk.job_id == archived))

    page = web.browser().get(f"/jobs/{sampled}/sample")
    with read_scope(engine) as session:
        report = sample_page(session, lifecycle.get(session, sampled), web.context.settings.s3_options)

    assert page.status_code == 200
    assert page.text.count("rows are archived or deleted") == 8
    assert page.text.count('alt="The scan: ') == 8
    assert report.count("archived or deleted") == report.count("data:image/jpeg") == 8


def test_an_impossible_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--heads purple"):
        parse_sample(20, "purple", None)
    with pytest.raises(UsageError, match="give --sample"):
        parse_sample(None, "paper", None)
    with pytest.raises(UsageError, match="at most 12"):
        SampleRequest(20, ("paper", "vivid"), tuple(number / 10 for number in range(10)))
