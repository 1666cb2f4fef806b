"""Jobs over a folder: which scans manifests, patterns and existing outputs choose; jobs that are aborted."""

from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Engine

from db.models.jobs import JobState, Scan
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle, retries
from db.queries.scans import leases
from db.queries.scans import records as scans
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.cli.display.job_tables import jobs_table
from scheduler.cli.display.live import watch_jobs
from scheduler.daemon.lease_expiry import complete_jobs
from scheduler.report.collect import job_facts
from scheduler.rows import job_row
from scheduler.submission.submitter import Submission, Submitted, Submitter
from tests.rows import NOON
from worker.errors import UsageError
from worker.storage import S3Options

KEYS = ["box 1/a.tif", "box 1/b.png", "box 2/c.tif"]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """A source with three scans, and a destination."""
    for key in KEYS:
        path = tmp_path / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    (tmp_path / "out").mkdir()
    return str(tmp_path / "in"), str(tmp_path / "out")


def submitter(engine: Engine, s3: S3Options | None = None, *, checkpoint: str = "stand-in") -> Submitter:
    return Submitter(engine, s3=s3 or S3Options(), chunk_scans=2, checkpoints=lambda: [checkpoint])


def submit(engine: Engine, asked: Submission, s3: S3Options | None = None) -> Submitted:
    return submitter(engine, s3).submit(asked)


def rows(engine: Engine, submitted: Submitted) -> list[Scan]:
    assert submitted.job_id is not None
    with read_scope(engine) as session:
        return scans.of_job(session, submitted.job_id)


def fail(engine: Engine, job_id: int, count: int, code: str = "truncated") -> None:
    """Fail the first `count` scans of the job's next chunk."""
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, job_id, 1, now=NOON)
        claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
        ids = [scan.id for scan in claims.pending_scans(session, message.chunk_id)][:count]
        records = [failed(each, code) for each in ids]
        leases.record(session, message, records, lease_seconds=60, now=NOON)
        claims.release(session, message, not_before=None)


def failed(scan_id: int, code: str) -> ScanRecord:
    return ScanRecord(
        scan_id=scan_id,
        state="failed",
        attempts=1,
        measurements=ScanMeasurements(),
        worker="w",
        finished_at=NOON,
        error_code=code,
        error_message="it ends early",
    )


def test_a_manifest_chooses_and_names_outputs(engine: Engine, folders: tuple[str, str], tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("key,output\nbox 1/a.tif,first.tif\nbox 2/c.tif,\n")

    found = rows(engine, submit(engine, Submission(*folders, manifest=str(manifest), overwrite="always")))

    assert [(scan.source_key, scan.source_etag, scan.output_key) for scan in found] == [
        ("box 1/a.tif", None, "first.tif"),
        ("box 2/c.tif", None, "box 2/c.tif"),
    ]


def test_an_output_that_does_not_fit_its_format_is_refused_and_leaves_no_job(
    engine: Engine, folders: tuple[str, str], tmp_path: Path
) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("key,output\nbox 1/a.tif,first.png\n")

    with pytest.raises(UsageError, match=r"first\.png"):
        submit(engine, Submission(*folders, manifest=str(manifest)))

    with read_scope(engine) as session:
        assert lifecycle.recent_ids(session, limit=5) == []


def test_two_scans_with_one_output_are_refused(engine: Engine, folders: tuple[str, str], tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("key,output\nbox 1/a.tif,same.tif\nbox 2/c.tif,same.tif\n")

    with pytest.raises(UsageError, match="output"):
        submit(engine, Submission(*folders, manifest=str(manifest)))


def test_patterns_choose(engine: Engine, folders: tuple[str, str]) -> None:
    submitted = submit(engine, Submission(*folders, include=("*.tif",), exclude=("box 2/*",)))

    assert [scan.source_key for scan in rows(engine, submitted)] == ["box 1/a.tif"]
    assert submitted.unwanted == 2


def test_never_overwriting_leaves_out_what_is_there(engine: Engine, folders: tuple[str, str]) -> None:
    Path(folders[1], "box 1").mkdir()
    Path(folders[1], "box 1/a.tif").write_bytes(b"from elsewhere")

    submitted = submit(engine, Submission(*folders, overwrite="never"))

    assert [scan.source_key for scan in rows(engine, submitted)] == ["box 1/b.png", "box 2/c.tif"]


def test_the_same_submission_is_recognised_until_its_job_has_ended(engine: Engine, folders: tuple[str, str]) -> None:
    first = submit(engine, Submission(*folders))
    again = submit(engine, Submission(*folders))
    other = submit(engine, Submission(*folders, include=("*.tif",)))

    assert (again.job_id, again.already) == (first.job_id, True)
    assert (other.already, f"job {first.job_id} does this already" in again.sentence()) == (False, True)
    with session_scope(engine) as session:
        lifecycle.change_state(session, first.job_id or 0, JobState.CANCELLED, now=NOON)
    assert not submit(engine, Submission(*folders)).already


@pytest.mark.parametrize(
    ("allowed", "state"), [("0", "aborted"), ("33%", "aborted"), ("1", "running"), (None, "running")]
)
def test_a_job_stops_itself_when_too_many_scans_fail(
    engine: Engine, folders: tuple[str, str], allowed: str | None, state: str
) -> None:
    job_id = submit(engine, Submission(*folders, max_failures=allowed)).job_id or 0
    fail(engine, job_id, 1)

    complete_jobs(engine)

    with read_scope(engine) as session:
        assert lifecycle.get(session, job_id).state == state


def test_a_paused_job_whose_last_chunks_fail_is_aborted_and_not_completed(
    engine: Engine, folders: tuple[str, str]
) -> None:
    job_id = submit(engine, Submission(*folders, max_failures="0")).job_id or 0
    fail(engine, job_id, 2)
    fail(engine, job_id, 1)
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.PAUSED, now=NOON)

    complete_jobs(engine)

    with read_scope(engine) as session:
        assert lifecycle.get(session, job_id).state == JobState.ABORTED


def test_an_aborted_job_says_why_wherever_it_is_shown(
    engine: Engine, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = submit(engine, Submission(*folders, max_failures="33%")).job_id or 0
    fail(engine, job_id, 2)
    complete_jobs(engine)

    [found] = watch_jobs(engine, job_id, silent_seconds=20)

    why = "2 scans failed, but --max-failures allows only 0"
    assert capsys.readouterr().out.strip().endswith(f"aborted: 2 of 3 scans, 2 failed; {why}")
    row = job_row(found)
    assert (row["max_failures"], row["aborted_because"]) == (0, why)
    Console(width=200).print(jobs_table([found]))
    assert f"job {job_id} is aborted: {why}; photochrom retry {job_id} continues it" in capsys.readouterr().out
    assert job_facts(found).aborted_because == why


def test_an_aborted_job_goes_on_after_retry(engine: Engine, folders: tuple[str, str]) -> None:
    job_id = submit(engine, Submission(*folders, max_failures="0")).job_id or 0
    fail(engine, job_id, 1)
    complete_jobs(engine)
    with session_scope(engine) as session:
        assert dispatch.take_for_dispatch(session, job_id, 5, now=NOON) == []
        retries.retry_failed(session, job_id, now=NOON)

    complete_jobs(engine)

    with session_scope(engine) as session:
        assert lifecycle.get(session, job_id).state == JobState.RUNNING
        assert len(dispatch.take_for_dispatch(session, job_id, 5, now=NOON)) == 2


def test_an_aborted_job_that_would_be_aborted_again_at_once_is_not_retried(
    engine: Engine, folders: tuple[str, str]
) -> None:
    job_id = submit(engine, Submission(*folders, max_failures="0")).job_id or 0
    fail(engine, job_id, 1, code="disk_full")
    fail(engine, job_id, 1)
    complete_jobs(engine)

    with pytest.raises(UsageError, match="allows 0 failed scans, and 1 have failed"), session_scope(engine) as session:
        retries.retry_failed(session, job_id, code="disk_full", now=NOON)

    with read_scope(engine) as session:
        assert (lifecycle.get(session, job_id).state, lifecycle.progress(session, job_id).failed) == (
            JobState.ABORTED,
            2,
        )


def test_a_priority_changes_until_the_job_has_ended(engine: Engine, folders: tuple[str, str]) -> None:
    job_id = submit(engine, Submission(*folders)).job_id or 0

    with session_scope(engine) as session:
        lifecycle.set_priority(session, job_id, 7)
        assert [row[1] for row in dispatch.waiting_by_job(session, now=NOON, limit=9)] == [7]
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=NOON)
        with pytest.raises(UsageError, match="cancelled"):
            lifecycle.set_priority(session, job_id, 8)


@pytest.mark.parametrize("wrong", [{"overwrite": "no"}, {"max_failures": "-1"}, {"max_failures": "101%"}])
def test_unknown_names_are_refused(wrong: dict[str, str], folders: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Submission(*folders, **wrong)
