"""Submissions into a destination that other jobs write, and outputs that people accepted."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from sqlalchemy import Engine, update

from db.errors import Conflict, UsageError
from db.models.jobs import Scan
from db.models.reviews import Verdict
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.reports.reviews import By
from db.queries.scans import leases, records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import read_scope, session_scope
from scheduler.submission import submitter
from scheduler.submission.submitter import Submission, Submitted, Submitter
from tests.rows import NOON
from worker.storage import S3Options, StoredObject
from worker.storage.base import LeftOut, ignore
from worker.storage.folder.storage import FolderStorage

MADE = b"colour"


@pytest.fixture
def submit(engine: Engine, tmp_path: Path) -> Callable[..., Submitted]:
    """`submit("box1", overwrite="always")` submits a job into the one destination."""
    for box in ("box1", "box2"):
        (tmp_path / box).mkdir()
        for name in ("1.png", "2.png"):
            (tmp_path / box / name).write_bytes(b"grey")

    def ask(box: str, checkpoint: str = "one", **options: object) -> Submitted:
        request = Submission(str(tmp_path / box), str(tmp_path / "colour"), **options)  # type: ignore[arg-type]
        submitter = Submitter(engine, s3=S3Options(), chunk_scans=1, checkpoints=lambda: [checkpoint])
        return submitter.submit(request)

    return ask


def colour_all(engine: Engine, folder: Path, job_id: int) -> None:
    with session_scope(engine) as session:
        for message in dispatch.take_for_dispatch(session, job_id, 99, now=NOON):
            claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
            for scan in claims.pending_scans(session, message.chunk_id):
                output = folder / scan.output_key
                output.parent.mkdir(exist_ok=True, parents=True)
                output.write_bytes(MADE)
                measured = ScanMeasurements(output_sha256="0", output_bytes=len(MADE), checkpoint="one", source_bytes=4)
                done = ScanRecord(scan.id, "done", 1, measured, "w", NOON)
                leases.record(session, message, [done], lease_seconds=60, now=NOON)
            claims.release(session, message, not_before=None)
        lifecycle.complete_finished(session, now=NOON)


def test_another_box_with_the_same_names_is_refused_and_leaves_no_job(
    engine: Engine, submit: Callable[..., Submitted]
) -> None:
    submit("box1")

    with pytest.raises(Conflict, match=r"1\.png \(job 1\).*--output-prefix"):
        submit("box2")

    with read_scope(engine) as session:
        assert lifecycle.recent_ids(session, limit=5) == [1]


def test_another_box_may_have_a_folder_of_its_own(engine: Engine, submit: Callable[..., Submitted]) -> None:
    submit("box1")

    second = submit("box2", output_prefix="box2/negatives")

    with read_scope(engine) as session:
        keys = [scan.output_key for scan in records.of_job(session, second.job_id or 0)]
    assert keys == ["box2/negatives/1.png", "box2/negatives/2.png"]


def test_the_same_again_makes_only_what_is_missing_or_changed(
    engine: Engine, submit: Callable[..., Submitted], tmp_path: Path
) -> None:
    submit("box1")
    colour_all(engine, tmp_path / "colour", 1)
    (tmp_path / "box1" / "2.png").write_bytes(b"gray again")

    again = submit("box1")

    assert (again.scans, again.present) == (1, 1)
    assert "1 left out that are done already (--redo-all makes them again)" in again.sentence()
    colour_all(engine, tmp_path / "colour", again.job_id or 0)
    assert submit("box1").job_id is None
    assert submit("box1", overwrite="always").scans == 2


def test_outputs_that_another_job_is_to_make_are_left_out(engine: Engine, submit: Callable[..., Submitted]) -> None:
    submit("box1", include=("1.png",))

    rest = submit("box1")

    assert (rest.scans, rest.underway) == (1, 1)
    with read_scope(engine) as session:
        assert [scan.output_key for scan in records.of_job(session, rest.job_id or 0)] == ["2.png"]


@pytest.mark.parametrize("overwrite", ["changed", "always"])
def test_an_accepted_output_stays_unless_it_is_named(
    engine: Engine, submit: Callable[..., Submitted], tmp_path: Path, overwrite: str
) -> None:
    submit("box1")
    colour_all(engine, tmp_path / "colour", 1)
    with session_scope(engine) as session:
        accepted = update(Scan).where(Scan.output_key == "1.png")
        session.execute(accepted.values(verdict=Verdict.ACCEPTED))

    after_a_new_checkpoint = submit("box1", "two", overwrite=overwrite)

    assert (after_a_new_checkpoint.scans, after_a_new_checkpoint.accepted) == (1, 1)
    assert "1 accepted output left as they are (--overwrite-accepted)" in after_a_new_checkpoint.sentence()
    colour_all(engine, tmp_path / "colour", 2)
    assert submit("box1", "two", overwrite="always", overwrite_accepted=True).scans == 2


def test_an_output_that_a_person_had_made_again_stays_so(
    engine: Engine, submit: Callable[..., Submitted], tmp_path: Path
) -> None:
    submit("box1")
    colour_all(engine, tmp_path / "colour", 1)
    with session_scope(engine) as session:
        [scan] = reviews.outputs(session, 1, ["1.png"])
        job, by = lifecycle.get(session, 1), By("ada", NOON)
        redone = reviews.redo(session, job, [scan], by, options={"head": "vivid"}, chunk_scans=1)
    assert submit("box1").accepted == 1  # its redo is not done yet
    colour_all(engine, tmp_path / "colour", redone)

    again = submit("box1", "two")

    assert (again.scans, again.accepted) == (1, 1)
    colour_all(engine, tmp_path / "colour", again.job_id or 0)
    with session_scope(engine) as session:
        reviews.decide(session, reviews.outputs(session, redone, ["1.png"]), Verdict.REJECTED, by)
    assert submit("box1", "two").accepted == 0


@pytest.mark.parametrize("prefix", ["../box", "/box", "box/", "a//b", "", "a\\b", "a\nb"])
def test_an_output_prefix_is_a_folder_within_the_destination(prefix: str, submit: Callable[..., Submitted]) -> None:
    with pytest.raises(Exception, match="not a folder inside the destination"):
        submit("box1", output_prefix=prefix)


def test_a_manifest_without_scans_is_named_in_the_error(submit: Callable[..., Submitted], tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("Datei;Bytes\nnotes.txt;4\n")

    with pytest.raises(UsageError, match=r"the manifest .*list\.csv holds 2 files and no scan"):
        submit("box1", manifest=str(manifest))


@pytest.mark.parametrize("overwrite", ["changed", "new", "never", "always"])
@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("K\u00f6ln.png", "Ko\u0308ln.png"),
        ("Ko\u0308ln.png", "K\u00f6ln.png"),
        ("\u00e9/\u00f6.png", "\u00e9/o\u0308.png"),
    ],
    ids=["list composed", "list decomposed", "folder and file differ"],
)
@pytest.mark.parametrize("columns", ["", ",abc,4"], ids=["keys alone", "with an ETag"])
def test_a_key_is_found_as_the_store_spells_it(
    engine: Engine,
    submit: Callable[..., Submitted],
    tmp_path: Path,
    written: str,
    stored: str,
    overwrite: str,
    columns: str,
) -> None:
    (tmp_path / "box1" / stored).parent.mkdir(exist_ok=True)
    (tmp_path / "box1" / stored).write_bytes(b"grey")
    (tmp_path / "list").write_text(f"key,etag,bytes\n{written}{columns}\n", "utf-8")

    job_id = submit("box1", manifest=str(tmp_path / "list"), overwrite=overwrite).job_id or 0

    with read_scope(engine) as session:
        scans = records.of_job(session, job_id)
        assert [(scan.source_key, scan.output_key) for scan in scans] == [(stored, stored)]


@pytest.mark.parametrize("overwrite", ["changed", "never"])
def test_a_list_in_another_form_finds_what_the_whole_folder_had_coloured(
    engine: Engine, submit: Callable[..., Submitted], tmp_path: Path, overwrite: str
) -> None:
    (tmp_path / "box1" / "Ko\u0308ln.png").write_bytes(b"grey")
    submit("box1")
    colour_all(engine, tmp_path / "colour", 1)
    (tmp_path / "list").write_text("K\u00f6ln.png\n", "utf-8")

    again = submit("box1", manifest=str(tmp_path / "list"), overwrite=overwrite)

    assert (again.scans, again.present) == (0, 1)


def test_a_scan_that_is_listed_in_two_forms_is_listed_twice(submit: Callable[..., Submitted], tmp_path: Path) -> None:
    (tmp_path / "box1" / "Ko\u0308ln.png").write_bytes(b"grey")
    (tmp_path / "list").write_text("K\u00f6ln.png\n1.png\nKo\u0308ln.png\n", "utf-8")

    with pytest.raises(UsageError, match=r"list, line 3: .* is listed twice, first on line 1"):
        submit("box1", manifest=str(tmp_path / "list"), overwrite="always")


def test_two_scans_whose_names_differ_in_their_form_alone_are_two(
    submit: Callable[..., Submitted], tmp_path: Path
) -> None:
    for name in (names := ("K\u00f6ln.png", "Ko\u0308ln.png")):
        (tmp_path / "box1" / name).write_bytes(b"grey")
    (tmp_path / "list").write_text("\n".join(names), "utf-8")

    assert submit("box1", manifest=str(tmp_path / "list")).scans == 2


class DecomposingStorage(FolderStorage):
    """A folder on a disk that stores and lists names in NFD, and finds them in any form, as HFS+ of macOS does."""

    def list(self, *, after: str = "", left_out: LeftOut = ignore) -> Iterator[StoredObject]:
        return (replace(stored, key=normalize("NFD", stored.key)) for stored in super().list(left_out=left_out))


def test_an_output_whose_disk_lists_it_in_another_form_is_there(
    engine: Engine, submit: Callable[..., Submitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "box1" / "K\u00f6ln.png").write_bytes(b"grey")
    submit("box1")
    colour_all(engine, tmp_path / "colour", 1)
    request, output = (
        Submission(str(tmp_path / "box1"), str(tmp_path / "colour"), overwrite="never"),
        tmp_path / "colour",
    )
    sides = FolderStorage(tmp_path / "box1"), DecomposingStorage(output)
    monkeypatch.setattr(submitter, "open_both", lambda *_: sides)

    again = Submitter(engine, s3=S3Options(), chunk_scans=1, checkpoints=lambda: ["one"]).submit(request)

    assert (again.scans, again.present) == (0, 3)


@pytest.mark.parametrize("pattern", ["Ko\u0308ln*", "K\u00f6ln*"])
def test_a_pattern_fits_names_in_any_form(submit: Callable[..., Submitted], tmp_path: Path, pattern: str) -> None:
    for name in ("K\u00f6ln 1.png", "Ko\u0308ln 2.png"):
        (tmp_path / "box1" / name).write_bytes(b"grey")

    assert submit("box1", include=(pattern,)).scans == 2
