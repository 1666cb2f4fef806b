"""`photochrom review` as people type it: what it accepts, and what it refuses without recording anything."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from db.migrations import upgrade
from db.models.access import AuditEntry
from db.models.jobs import Scan
from db.models.reviews import Review as ReviewRow
from db.queries.jobs import lifecycle
from db.session import make_engine, read_scope, session_scope
from tests.acceptance.command import photochrom_here
from tests.integration.scheduler.test_review import VIVID, make_doubtful_job

Review = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def review(sqlite_url: str, tmp_path: Path) -> Review:
    """`photochrom review 1 ...` for a job of three outputs, box/0.jpg to box/2.jpg."""
    engine = make_engine(sqlite_url)
    upgrade(engine)
    job_id = make_doubtful_job(engine)
    return lambda *words: photochrom_here(
        "review", str(job_id), *words, folder=tmp_path, PHOTOCHROM_DATABASE_URL=sqlite_url
    )


@pytest.mark.parametrize(
    ("names", "count"), [(["box/*"], 3), (["*1.*"], 1), (["--all"], 3), (["box/1.jpg", "box/1.jpg"], 1), (["1.jpg"], 0)]
)
def test_outputs_are_named_by_key_by_pattern_or_all_at_once(review: Review, names: list[str], count: int) -> None:
    accepted = review("accept", *names, "--by", "ada")

    assert (accepted.returncode == 0) == bool(count)
    assert accepted.stdout.startswith(f"{count} output") == bool(count)
    assert len(json.loads(review("--reviewed", "--json").stdout)) == count


def test_one_wrong_key_records_nothing_and_says_so(review: Review) -> None:
    refused = review("accept", "box/1.jpg", "box/9.jpg", "shelf/*")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no output for 'box/9.jpg' and for 1 others, so nothing was recorded" in refused.stderr
    assert json.loads(review("--reviewed", "--json").stdout) == []


def test_option_all_does_not_change_existing_verdicts(review: Review) -> None:
    review("reject", "box/1.jpg")

    assert review("accept", "--all", "--by", "ada").stdout == "2 outputs accepted by ada\n"
    assert "every output of job 1 has a verdict" in review("accept", "--all").stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["redo", "box/1.jpg", "--checkpoint", "nonesuch"], "neither a running worker nor this machine has it"),
        (["redo", "box/1.jpg", "--checkpoint", VIVID[:-1]], f"did you mean {VIVID}?"),
        (
            ["redo", "box/1.jpg", "--head", "lively"],
            "the head 'lively': neither a running worker nor this machine has it",
        ),
        (
            ["redo", "box/1.jpg", "--embedding", "none"],
            "has it; expected one of inception_resnet_v2, compact, imagenet",
        ),
        (["redo", "box/1.jpg", "--saturation", "3"], "expected a number from 0 to 2"),
        (["accept", "box/1.jpg", "--head", "vivid"], "--head is for redo alone"),
        (["accept", "--all", "box/1.jpg"], "expected either keys"),
        (["accept"], "expected either keys"),
        (["--all"], "--all needs a verdict"),
        (["praise", "box/1.jpg"], "'praise' is not a verdict; expected accept, reject, redo, keep or take"),
        (["keep", "box/1.jpg"], "has no two results to choose between: it was not redone"),
        (["take", "--all"], "no output with two results"),
    ],
)
def test_an_impossible_review_is_refused_and_nothing_is_recorded(
    review: Review, words: list[str], sentence: str
) -> None:
    refused = review(*words)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert sentence in refused.stderr
    assert json.loads(review("--reviewed", "--json").stdout) == []


def test_a_redo_may_choose_head_embedding_and_saturation(review: Review, sqlite_url: str) -> None:
    again = review("redo", "box/2.jpg", "--head", "vivid", "--embedding", "compact", "--saturation", "0.8")

    assert again.stdout.startswith("job 2 makes 1 output again, beside the earlier; "), again.stderr
    with read_scope(make_engine(sqlite_url)) as session:
        options = lifecycle.get(session, 2).options
    assert (options["head"], options["embedding"], options["saturation"]) == ("vivid", "compact", 0.8)


def finish(engine: Engine, job_id: int) -> None:
    """Set all scans of the job to done, as if a worker had coloured them."""
    with session_scope(engine) as session:
        session.execute(update(Scan).where(Scan.job_id == job_id).values(state="done", output_sha256="e"))


def test_the_earlier_output_is_kept_until_one_of_the_two_is_chosen(review: Review, sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    review("redo", "box/1.jpg", "box/2.jpg", "--saturation", "0.8", "--by", "ada")
    too_early = review("take", "--all")
    finish(engine, 2)
    kept = review("keep", "box/1.jpg", "--by", "ada", "--note", "the sky")
    taken = review("take", "--all", "--by", "ada")

    assert "the new output of box/1.jpg is pending; choose when it is done" in too_early.stderr
    assert kept.stdout == "1 earlier output kept by ada\n"
    assert taken.stdout == "job 3 puts 1 new output into place; photochrom status 3\n"
    with read_scope(engine) as session:
        first, beside, in_place = (lifecycle.get(session, number) for number in (1, 2, 3))
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        notes = session.scalars(select(ReviewRow.note)).all()
    assert "the sky" in notes
    assert (beside.destination, in_place.destination) == (f"{first.destination}/photochrom-redone/2", first.destination)
    assert in_place.options["saturation"] == 0.8
    assert [(entry.actor, entry.via, entry.action) for entry in entries] == [
        ("ada", "local", "redo"),
        ("ada", "local", "choose"),
        ("ada", "local", "choose"),
    ]
    assert "no output with two results" in review("keep", "--all").stderr
