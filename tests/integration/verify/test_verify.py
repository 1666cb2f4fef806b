"""Fixity: a job's files are read again, from a folder and from S3, to find what has changed since."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update

from db.migrations import upgrade
from db.models.jobs import Job, JobState, Scan, ScanState
from db.models.outputs import OutputClaim
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.session import make_engine, read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.archive.deletion import Pace, delete_job
from scheduler.cli.display.remedies import remedies
from scheduler.integrity.differences import Verified
from scheduler.integrity.verify import Verifier
from scheduler.standalone.folder_run import LOCK
from tests.acceptance.command import photochrom
from tests.rows import NOON, make_job
from worker.errors import NotFound, UsageError
from worker.storage import S3Options, open_storage, parse_location

KEYS = ("box/0.png", "box/1.png", "ä b.png")
Place = Callable[[str, str, bytes], None]  # location, key, contents


@pytest.fixture
def engine(migrated_sqlite_url: str) -> Engine:
    return make_engine(migrated_sqlite_url)


@pytest.fixture(params=["folders", "s3"])
def locations(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    if request.param == "folders":
        return str(tmp_path / "in"), str(tmp_path / "out")
    bucket = request.getfixturevalue("bucket")
    return f"s3://{bucket}/in", f"s3://{bucket}/out"


@pytest.fixture
def place(tmp_path: Path, s3_options: S3Options) -> Place:
    def place(location: str, key: str, contents: bytes) -> None:
        if not location.startswith("s3:"):
            Path(location).mkdir(exist_ok=True)
        path = tmp_path / "placed"
        path.write_bytes(contents)
        open_storage(parse_location(location), s3=s3_options).store(path, key, content_type="image/png")

    return place


@pytest.fixture
def job(engine: Engine, locations: tuple[str, str], place: Place) -> int:
    return make_done_job(engine, *locations, place)


def make_done_job(engine: Engine, source: str, destination: str, place: Place) -> int:
    """A job whose scans are done, but for one that failed."""
    listed = [NewScan(key, "etag", 1, key) for key in (*KEYS, "failed.png")]
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name="a", source=source, destination=destination, options={}, priority=0, now=NOON
        )
        lifecycle.add_scans(session, job_id, listed, chunk_scans=64)
        lifecycle.start(session, job_id, other_count=0)
        for key in KEYS:
            for location, contents in ((source, b"grey " + key.encode()), (destination, b"colour " + key.encode())):
                place(location, key, contents)
            session.execute(
                update(Scan)
                .where(Scan.job_id == job_id, Scan.source_key == key)
                .values(
                    state=ScanState.DONE,
                    source_sha256=hashlib.sha256(b"grey " + key.encode()).hexdigest(),
                    output_sha256=hashlib.sha256(b"colour " + key.encode()).hexdigest(),
                )
            )
        session.execute(
            update(Scan)
            .where(Scan.job_id == job_id, Scan.source_key == "failed.png")
            .values(state=ScanState.FAILED, error_code="truncated")
        )
    return job_id


def verified(engine: Engine, job: int, s3_options: S3Options) -> Verified:
    return Verifier(engine, s3=s3_options, threads=2).verify(job)


def test_unchanged_files_are_reported_as_unchanged(engine: Engine, job: int, s3_options: S3Options) -> None:
    found = verified(engine, job, s3_options)

    assert (found.sources, found.outputs, found.differences) == (3, 3, [])
    assert "each is as recorded" in found.sentence()


def test_a_verification_of_a_job_that_is_deleted_meanwhile_has_no_result(
    engine: Engine, job: int, s3_options: S3Options
) -> None:
    make_job(engine, scan_count=1)  # in SQLite the latest job can't be deleted
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == job).values(state=JobState.COMPLETED, finished_at=NOON))

    def delete_it(_: Verified) -> None:
        delete_job(engine, job, Actor("ada"), Pace(rest=0), forget_accepted=False, show=lambda _: None)

    with pytest.raises(NotFound, match=f"job {job} is not in the database"):
        Verifier(engine, s3=s3_options, threads=2, progress=delete_it).verify(job)


def test_changed_and_extra_files_are_named(
    engine: Engine, job: int, locations: tuple[str, str], place: Place, s3_options: S3Options
) -> None:
    place(locations[0], KEYS[0], b"grey box/0.pnG")  # as long as before
    place(locations[1], KEYS[1], b"")
    place(locations[1], "stranger.png", b"?")

    differences = verified(engine, job, s3_options).differences

    assert [(each.side, each.what, each.key) for each in differences] == [
        ("source", "changed", KEYS[0]),
        ("output", "changed", KEYS[1]),
        ("output", "extra", "stranger.png"),
    ]


def test_an_output_that_is_stored_but_not_recorded_is_extra_only_after_its_job_is_cancelled(
    engine: Engine, tmp_path: Path, place: Place, s3_options: S3Options
) -> None:
    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    job_id = make_done_job(engine, source, destination, place)
    with session_scope(engine) as session:
        session.execute(update(Scan).where(Scan.output_key == KEYS[0]).values(state=ScanState.PENDING))
    assert verified(engine, job_id, s3_options).differences == []

    with session_scope(engine) as session:
        session.execute(update(Job).values(state=JobState.CANCELLED, finished_at=NOON))

    assert [each.what for each in verified(engine, job_id, s3_options).differences] == ["extra"]


def test_missing_files_are_named(engine: Engine, tmp_path: Path, place: Place, s3_options: S3Options) -> None:
    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    job_id = make_done_job(engine, source, destination, place)
    Path(source, KEYS[2]).unlink()
    Path(destination, KEYS[0]).unlink()

    differences = verified(engine, job_id, s3_options).differences

    assert [(each.side, each.what, each.key) for each in differences] == [
        ("output", "missing", KEYS[0]),
        ("source", "missing", KEYS[2]),
    ]
    assert verified(engine, job_id, s3_options).sentence().startswith("2 sources and 2 outputs read again")


def test_outputs_that_a_later_job_made_again_are_compared_with_its_rows(
    engine: Engine, tmp_path: Path, place: Place, s3_options: S3Options
) -> None:
    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    first = make_done_job(engine, source, destination, place)
    second = make_done_job(engine, source, destination, place)
    place(destination, KEYS[0], b"in other colours")
    with session_scope(engine) as session:
        session.execute(update(Scan).where(Scan.job_id == first).values(output_sha256="0" * 64))
        session.execute(delete(Scan).where(Scan.job_id == second, Scan.source_key == KEYS[1]))

    earlier, later = verified(engine, first, s3_options), verified(engine, second, s3_options)

    assert (earlier.outputs, earlier.remade) == (3, {second: 2})
    assert [(each.what, each.key) for each in earlier.differences] == [("changed", KEYS[0]), ("changed", KEYS[1])]
    assert f"2 by job {second}" in earlier.sentence()
    assert (later.outputs, later.remade) == (2, {})
    assert [(each.what, each.key) for each in later.differences] == [("changed", KEYS[0])]


def test_an_output_that_another_source_has_replaced_names_the_job(
    engine: Engine, tmp_path: Path, place: Place, s3_options: S3Options
) -> None:
    """This could happen before outputs were claimed. To make the output again would destroy the other job's output."""
    destination = str(tmp_path / "out")
    first = make_done_job(engine, str(tmp_path / "box1"), destination, place)
    with session_scope(engine) as session:
        session.execute(delete(OutputClaim))
    second = make_done_job(engine, str(tmp_path / "box2"), destination, place)

    differences = verified(engine, first, s3_options).differences

    assert {each.what for each in differences} == {"replaced"}
    assert f"job {second} stored the output of {tmp_path / 'box2'}/{KEYS[0]} there" in differences[0].detail


def test_a_bags_own_files_are_held_against_each_other(
    engine: Engine, tmp_path: Path, place: Place, s3_options: S3Options
) -> None:
    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    job_id = make_done_job(engine, source, destination, place)
    tags = {"bagit.txt": b"declared", "bag-info.txt": b"said", "manifest-sha256.txt": b"listed"}
    listed = "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in tags.items())
    for name, text in {**tags, "tagmanifest-sha256.txt": listed.encode()}.items():
        place(destination, name, text)
    with session_scope(engine) as session:
        session.execute(update(Job).values(options={"bag": True}, sealed_at=NOON))
    assert verified(engine, job_id, s3_options).differences == []

    Path(destination, "bagit.txt").unlink()
    place(destination, "manifest-sha256.txt", b"listed by another")
    place(destination, "stranger.png", b"?")
    found = verified(engine, job_id, s3_options)

    assert sorted((each.side, each.what, each.key) for each in found.differences) == [
        ("bag", "changed", "manifest-sha256.txt"),
        ("bag", "missing", "bagit.txt"),
        ("output", "extra", "stranger.png"),
    ]
    with read_scope(engine) as session:
        said = " ".join(remedies(lifecycle.get(session, job_id), found))
    assert f"photochrom bag {job_id}" in said
    assert "a bag holds no file that its manifest does not name" in said


def test_an_unknown_job_is_refused(engine: Engine, s3_options: S3Options) -> None:
    with pytest.raises(UsageError, match="job 7 is not"):
        verified(engine, 7, s3_options)


@pytest.mark.parametrize("state", ["out/.photochrom", "elsewhere"])
def test_after_photochrom_run_the_remedy_is_another_run(state: str, tmp_path: Path, place: Place) -> None:
    folder = tmp_path / state
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    database = f"sqlite:///{folder / 'photochrom.db'}"
    upgrade(make_engine(database))
    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    job_id = make_done_job(make_engine(database), source, destination, place)
    Path(destination, KEYS[0]).unlink()

    said = photochrom("verify", str(job_id), folder=tmp_path, PHOTOCHROM_DATABASE_URL=database).stdout

    given = "" if state.startswith("out") else f" --state-folder {folder}"
    assert said.endswith(f"Make the missing outputs again: photochrom run {source} {destination}{given}\n")


def test_the_command_reports_it_and_exits_with_1(
    engine: Engine, tmp_path: Path, place: Place, s3_options: S3Options
) -> None:
    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    job_id = make_done_job(engine, source, destination, place)
    database = {"PHOTOCHROM_DATABASE_URL": f"sqlite:///{tmp_path / 'photochrom.db'}"}

    sound = photochrom("verify", str(job_id), folder=tmp_path, **database)
    assert (sound.returncode, sound.stderr) == (0, "")

    Path(destination, KEYS[0]).unlink()
    unsound = photochrom("verify", str(job_id), "--json", folder=tmp_path, **database)
    assert unsound.returncode == 1
    assert [each["what"] for each in json.loads(unsound.stdout)["differences"]] == ["missing"]
