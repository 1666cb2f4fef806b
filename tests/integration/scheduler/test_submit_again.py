"""Submissions that are stopped and begun again, or that find some of their work done."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.errors import Conflict
from db.models.jobs import JobState, ScanState
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.scans import leases, records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.submission import lister
from scheduler.submission.submitter import Interrupted, Submission, Submitted, Submitter
from tests.rows import NOON, make_job
from worker.errors import ServiceUnavailable, UsageError
from worker.storage import S3Options

COUNT = 10


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Submission:
    """Ten scans, to be listed in pages of two."""
    monkeypatch.setattr(lister, "PAGE_SCANS", 2)
    for number in range(COUNT):
        path = tmp_path / "in" / f"box {number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
        path.with_suffix(".txt").write_text("no scan")
    return Submission(str(tmp_path / "in"), str(tmp_path / "out"))


def submitter(
    engine: Engine, progress: Callable[[Submitted], None] = lambda _: None, *, checkpoint: str = "one"
) -> Submitter:
    return Submitter(engine, s3=S3Options(), chunk_scans=2, checkpoints=lambda: [checkpoint], progress=progress)


def stopping_with(error: BaseException, after_scans: int) -> Callable[[Submitted], None]:
    def progress(submitted: Submitted) -> None:
        if submitted.scans >= after_scans:
            raise error

    return progress


def keys(engine: Engine, job_id: int | None) -> list[str]:
    with read_scope(engine) as session:
        return sorted(scan.source_key for scan in records.of_job(session, job_id or 0))


def whole(asked: Submission) -> list[str]:
    root = Path(asked.source)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ServiceUnavailable("S3 is away"), RuntimeError("killed")])
def test_a_stopped_submit_is_continued(
    engine: Engine, asked: Submission, error: BaseException, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.storage.folder.storage.FolderStorage.lists_in_order", in_order)
    with pytest.raises((Interrupted, ServiceUnavailable, RuntimeError)):
        submitter(engine, stopping_with(error, 6)).submit(asked)
    with read_scope(engine) as session:
        assert (lifecycle.get(session, 1).state, lifecycle.get(session, 1).scan_count) == (JobState.SUBMITTING, 4)

    again = submitter(engine).submit(asked)

    assert (again.job_id, again.resumed, again.scans, again.others) == (1, True, COUNT, COUNT)
    assert keys(engine, 1) == whole(asked)
    with read_scope(engine) as session:
        assert (lifecycle.get(session, 1).state, lifecycle.get(session, 1).scan_count) == (JobState.RUNNING, COUNT)


def test_a_submit_that_another_took_over_ends_and_adds_nothing(engine: Engine, asked: Submission) -> None:
    taken: list[Submitted] = []

    def take_over(submitted: Submitted) -> None:
        if submitted.scans >= 4 and not taken:
            taken.append(submitter(engine).submit(asked))

    with pytest.raises(UsageError, match="another process"):
        submitter(engine, take_over).submit(asked)

    assert (taken[0].job_id, keys(engine, 1)) == (1, whole(asked))
    with read_scope(engine) as session:
        assert lifecycle.recent_ids(session, limit=5) == [1]
        assert lifecycle.get(session, 1).state == JobState.RUNNING


def test_a_stopped_submit_does_not_take_what_other_patterns_chose(engine: Engine, asked: Submission) -> None:
    with pytest.raises(Interrupted, match="photochrom cancel 1"):
        submitter(engine, stopping_with(KeyboardInterrupt(), 4)).submit(asked)

    other = Submission(asked.source, asked.destination, include=("1.png",))

    assert submitter(engine).submit(other).job_id == 2


def test_a_manifest_that_was_changed_since_is_another_job(engine: Engine, asked: Submission, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(whole(asked)))
    listed = Submission(asked.source, asked.destination, manifest=str(manifest))
    with pytest.raises(Interrupted):
        submitter(engine, stopping_with(KeyboardInterrupt(), 4)).submit(listed)
    manifest.write_text(whole(asked)[0])
    with pytest.raises(Conflict, match=r"job 1\).*cancel it"):
        submitter(engine).submit(listed)
    with session_scope(engine) as session:
        lifecycle.change_state(session, 1, JobState.CANCELLED, now=NOON)

    assert keys(engine, submitter(engine).submit(listed).job_id) == whole(asked)[:1]


def test_two_scans_with_one_output_are_refused_by_a_submit_that_goes_on_too(
    engine: Engine, asked: Submission, tmp_path: Path
) -> None:
    manifest = tmp_path / "list.csv"
    lines = [f"{key},{'same.png' if number in (0, 9) else ''}" for number, key in enumerate(whole(asked))]
    manifest.write_text("\n".join(["key,output", *lines]))
    listed = Submission(asked.source, asked.destination, manifest=str(manifest))
    with pytest.raises(Interrupted):
        submitter(engine, stopping_with(KeyboardInterrupt(), 4)).submit(listed)

    with pytest.raises(UsageError, match="same output"):
        submitter(engine).submit(listed)


def test_patterns_that_leave_no_scan_leave_no_job(engine: Engine, asked: Submission) -> None:
    with pytest.raises(UsageError, match="leave none"):
        submitter(engine).submit(Submission(asked.source, asked.destination, exclude=("*",)))

    with read_scope(engine) as session:
        assert lifecycle.recent_ids(session, limit=5) == []


def do_all(engine: Engine, asked: Submission, *, checkpoint: str, seconds: float = 10.0) -> None:
    """Complete every pending scan, one each `seconds`, and store its output."""
    with session_scope(engine) as session:
        at = NOON
        for message in dispatch.take_for_dispatch(session, 1, 99, now=NOON):
            claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
            for scan in claims.pending_scans(session, message.chunk_id):
                at += timedelta(seconds=seconds)
                output = Path(asked.destination, scan.output_key)
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_bytes(b"coloured")
                measured = ScanMeasurements(output_sha256="0", output_bytes=8, checkpoint=checkpoint, source_bytes=13)
                done = ScanRecord(scan.id, ScanState.DONE, 1, measured, "w", at)
                leases.record(session, message, [done], lease_seconds=60, now=NOON)
            claims.release(session, message, not_before=None)
        lifecycle.complete_finished(session, now=NOON)


def test_only_what_another_checkpoint_coloured_or_what_changed_is_missing(engine: Engine, asked: Submission) -> None:
    submitter(engine).submit(asked)
    do_all(engine, asked, checkpoint="one")
    again = Submission(asked.source, asked.destination, missing_only=True)
    nothing = submitter(engine).submit(again)
    Path(asked.source, whole(asked)[0]).write_bytes(b"another content")
    Path(asked.destination, whole(asked)[1]).unlink()

    changed = submitter(engine).dry_run(again)
    other = submitter(engine, checkpoint="two").dry_run(again)

    assert (nothing.job_id, nothing.present) == (None, COUNT)
    assert (changed.scans, changed.present) == (2, COUNT - 2)
    assert (other.scans, other.present) == (COUNT, 0)


def test_a_manifest_without_etags_does_not_hide_a_change(engine: Engine, asked: Submission, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(whole(asked)))
    again = Submission(asked.source, asked.destination, missing_only=True, manifest=str(manifest))
    submitter(engine).submit(again)
    do_all(engine, asked, checkpoint="one")
    Path(asked.source, whole(asked)[0]).write_bytes(b"another content")

    assert submitter(engine).dry_run(again).scans == 1


def test_scans_of_a_running_job_are_not_submitted_as_missing(engine: Engine, asked: Submission) -> None:
    submitter(engine).submit(asked)

    again = submitter(engine).submit(Submission(asked.source, asked.destination, missing_only=True))

    assert (again.job_id, again.already) == (1, True)


def test_a_dry_run_says_how_long_it_takes_by_what_was_measured(engine: Engine, asked: Submission) -> None:
    before = submitter(engine).dry_run(asked)
    job_id = make_job(engine, scan_count=101)
    do_all(engine, asked, checkpoint="one", seconds=36)

    submitted = submitter(engine).dry_run(asked)

    assert (before.hours, "no job has been measured" in before.sentence()) == (None, True)
    assert submitted.pace is not None
    assert (submitted.pace.job_id, round(submitted.pace.scans_per_second * 36, 6)) == (job_id, 1.0)
    assert submitted.hours == (pytest.approx(0.1), pytest.approx(0.1))
    assert "0.1 hours" in submitted.sentence()
    with read_scope(engine) as session:
        assert lifecycle.recent_ids(session, limit=5) == [job_id]


def test_a_damaged_file_is_left_out_until_it_changes_or_is_retried(engine: Engine, asked: Submission) -> None:
    job_id = submitter(engine).submit(asked).job_id
    assert job_id is not None
    with session_scope(engine) as session:
        codes = {"box 0/0.png": "truncated", "box 1/1.png": "source_missing"}
        for scan in records.of_job(session, job_id):
            code = codes.get(scan.source_key)
            measured = ScanMeasurements() if code else ScanMeasurements(output_sha256="f", checkpoint="one")
            state = ScanState.FAILED if code else ScanState.DONE
            records.record(session, [ScanRecord(scan.id, state, 1, measured, "w", NOON, code, code)])
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=NOON)

    again = submitter(engine).submit(asked)

    assert again.damaged == 1
    assert "box 0/0.png" not in keys(engine, again.job_id)
    assert "box 1/1.png" in keys(engine, again.job_id)
    assert "1 scan was found damaged before" in again.sentence()
    with session_scope(engine) as session:
        lifecycle.change_state(session, again.job_id or 0, JobState.CANCELLED, now=NOON)
    (Path(asked.source) / "box 0/0.png").write_bytes(b"another copy of it")
    assert "box 0/0.png" in keys(engine, submitter(engine).submit(asked).job_id)
