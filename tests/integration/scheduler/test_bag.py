"""Destinations sealed as BagIt bags, in a folder and on S3, checked byte for byte by the `bagit` library."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import bagit
import pytest
from defusedxml import ElementTree
from sqlalchemy import Engine, select, update

from db.errors import Conflict
from db.models.jobs import Chunk, Job, JobState, Scan, ScanState
from db.queries.chunks import claims
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.jobs.retries import retry_failed
from db.session import make_engine, read_scope, session_scope
from scheduler.daemon.bag_sealer import Sealing
from scheduler.integrity import bag
from scheduler.integrity.bag import TAG_FILES, Sealer
from tests.rows import NOON
from worker.errors import UsageError
from worker.settings.settings import Settings
from worker.storage import S3Options, open_storage, parse_location

KEYS = ("data/box/0.png", "data/box/1.png", "data/ä b.png")
PREMIS = {"p": "http://www.loc.gov/premis/v3"}
Place = Callable[[str, bytes], None]  # key, contents


@pytest.fixture
def engine(migrated_sqlite_url: str) -> Engine:
    return make_engine(migrated_sqlite_url)


@pytest.fixture(params=["folder", "s3"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}/out"
    (tmp_path / "out").mkdir()
    return str(tmp_path / "out")


@pytest.fixture
def place(destination: str, tmp_path: Path, s3_options: S3Options) -> Place:
    def place(key: str, contents: bytes) -> None:
        path = tmp_path / "placed"
        path.write_bytes(contents)
        open_storage(parse_location(destination), s3=s3_options).store(path, key, content_type="image/png")

    return place


def make_job(engine: Engine, destination: str, place: Place, keys: tuple[str, ...] = KEYS, version: str = "") -> int:
    """Make a completed job with --bag and its outputs; one more scan has failed."""
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name="test", source="/in", destination=destination, options={"bag": True}, priority=0, now=NOON
        )
        lifecycle.add_scans(
            session, job_id, [NewScan(key, None, 1, key) for key in (*keys, "data/failed.png")], chunk_scans=9
        )
        for key in keys:
            contents = f"colour {key}{version}".encode()
            place(key, contents)
            session.execute(
                update(Scan)
                .where(Scan.job_id == job_id, Scan.output_key == key)
                .values(
                    state=ScanState.DONE,
                    output_bytes=len(contents),
                    output_sha256=hashlib.sha256(contents).hexdigest(),
                    finished_at=NOON,
                )
            )
        session.execute(
            update(Scan)
            .where(Scan.job_id == job_id, Scan.state == ScanState.PENDING)
            .values(state=ScanState.FAILED, error_code="truncated", finished_at=NOON)
        )
        chunk_ids = list(session.scalars(select(Chunk.id).where(Chunk.job_id == job_id)))
        claims.recount(session, chunk_ids, now=NOON)
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.COMPLETED, finished_at=NOON))
    return job_id


def as_bag(destination: str, folder: Path, s3_options: S3Options) -> bagit.Bag:
    """The destination, downloaded from S3 if it lies there."""
    if destination.startswith("s3:"):
        storage = open_storage(parse_location(destination), s3=s3_options)
        for found in storage.list():
            (folder / found.key).parent.mkdir(parents=True, exist_ok=True)
            storage.fetch(found.key, folder / found.key, etag=None, max_bytes=1 << 20)
        destination = str(folder)
    return bagit.Bag(destination)


def sealed_at(engine: Engine, job_id: int) -> object:
    with read_scope(engine) as session:
        return session.scalar(select(Job.sealed_at).where(Job.id == job_id))


def test_a_sealed_destination_is_a_valid_bag(
    engine: Engine, destination: str, place: Place, tmp_path: Path, s3_options: S3Options
) -> None:
    job_id = make_job(engine, destination, place)
    sealed = Sealer(engine, s3=s3_options).seal(job_id)

    assert sealed.files == 3
    bag = as_bag(destination, tmp_path / "bag", s3_options)
    assert bag.validate()
    assert sorted(bag.payload_files()) == sorted(KEYS)
    assert bag.info["Payload-Oxum"] == f"{sealed.bytes}.3"
    assert "no originals" in bag.info["External-Description"]
    assert sealed_at(engine, job_id) is not None


def test_an_interrupted_seal_is_made_again(
    engine: Engine, destination: str, place: Place, tmp_path: Path, s3_options: S3Options
) -> None:
    job_id = make_job(engine, destination, place)
    place("manifest-sha256.txt", b"cut o")
    place("bagit.txt", b"")
    Sealer(engine, s3=s3_options).seal(job_id)
    Sealer(engine, s3=s3_options).seal(job_id)
    assert as_bag(destination, tmp_path / "bag", s3_options).validate()


def test_a_later_job_joins_the_bag(
    engine: Engine, destination: str, place: Place, tmp_path: Path, s3_options: S3Options
) -> None:
    Sealer(engine, s3=s3_options).seal(make_job(engine, destination, place))
    later = make_job(engine, destination, place, keys=(KEYS[0], "data/new.png"), version=" again")
    assert Sealer(engine, s3=s3_options).seal(later).files == 4
    assert as_bag(destination, tmp_path / "bag", s3_options).validate()


@pytest.mark.parametrize(
    ("key", "contents", "said"),
    [
        (KEYS[1], b"shorter", "has 7 bytes, not the 21 that were stored"),
        ("data/stranger.png", b"?", "data/stranger.png is not the output of any job"),
    ],
)
def test_a_destination_with_changed_files_is_not_sealed(
    key: str, contents: bytes, said: str, engine: Engine, destination: str, place: Place, s3_options: S3Options
) -> None:
    job_id = make_job(engine, destination, place)
    place(key, contents)
    with pytest.raises(UsageError, match=said):
        Sealer(engine, s3=s3_options).seal(job_id)
    assert sealed_at(engine, job_id) is None
    assert not {each.key for each in open_storage(parse_location(destination), s3=s3_options).list()} & set(TAG_FILES)


def test_a_missing_output_is_not_sealed_over(engine: Engine, tmp_path: Path, s3_options: S3Options) -> None:
    (tmp_path / "out").mkdir()

    def place(key: str, contents: bytes) -> None:
        (tmp_path / "out" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / key).write_bytes(contents)

    job_id = make_job(engine, str(tmp_path / "out"), place)
    (tmp_path / "out" / KEYS[0]).unlink()
    with pytest.raises(UsageError, match="1 output missing; photochrom verify"):
        Sealer(engine, s3=s3_options).seal(job_id)
    place("data/stranger.png", b"?")
    with pytest.raises(UsageError, match="data/stranger.png is not the output of any job, 1 output missing;"):
        Sealer(engine, s3=s3_options).seal(job_id)


def test_only_a_completed_job_with_a_bag_is_sealed(
    engine: Engine, destination: str, place: Place, s3_options: S3Options
) -> None:
    job_id, later = make_job(engine, destination, place), make_job(engine, destination, place)
    with session_scope(engine) as session:
        retry_failed(session, job_id, now=NOON)
    with pytest.raises(UsageError, match="is running; a bag is sealed when its job is completed"):
        Sealer(engine, s3=s3_options).seal(job_id)
    with pytest.raises(UsageError, match=f"job {job_id} still writes into"):
        Sealer(engine, s3=s3_options).seal(later)
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == later).values(options={}))
    with pytest.raises(UsageError, match="makes no bag"):
        Sealer(engine, s3=s3_options).seal(later)


def test_the_scheduler_seals_what_is_completed(
    engine: Engine, destination: str, place: Place, tmp_path: Path, s3_options: S3Options
) -> None:
    job_id = make_job(engine, destination, place)
    settings = Settings(s3_endpoint_url=s3_options.endpoint_url)
    with ThreadPoolExecutor(1) as executor:
        Sealing(engine, settings, executor).round()
    assert sealed_at(engine, job_id) is not None
    assert as_bag(destination, tmp_path / "bag", s3_options).validate()


def test_a_job_that_ended_again_while_it_was_sealed_is_sealed_again(
    engine: Engine, tmp_path: Path, s3_options: S3Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out/data").mkdir(parents=True)
    job_id = make_job(engine, str(tmp_path / "out"), lambda key, contents: write(tmp_path / "out" / key, contents))

    def end_again(_: str) -> None:
        with session_scope(engine) as session:
            session.execute(update(Job).values(finished_at=NOON + timedelta(minutes=1)))

    monkeypatch.setattr(bag, "_check", end_again)
    with pytest.raises(Conflict, match=f"job {job_id} was tried again while its bag was sealed"):
        Sealer(engine, s3=s3_options).seal(job_id)

    with read_scope(engine) as session:
        assert lifecycle.to_seal(session) == [job_id]


def write(path: Path, contents: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


def test_a_bag_says_in_premis_what_happened_to_each_scan(
    engine: Engine, destination: str, place: Place, s3_options: S3Options, tmp_path: Path
) -> None:
    keys = ("data/box/0.png", "data/<& b>.png")
    job_id = make_job(engine, destination, place, keys)
    Sealer(engine, s3=s3_options).seal(job_id)

    path = tmp_path / "premis.xml"
    open_storage(parse_location(destination), s3=s3_options).fetch("premis.xml", path, etag=None, max_bytes=1 << 20)
    root = ElementTree.parse(path).getroot()
    outcomes = [element.text for element in root.iterfind(".//p:event//p:eventOutcome", PREMIS)]
    identifiers = [element.text for element in root.iterfind(".//p:object//p:objectIdentifierValue", PREMIS)]

    assert sorted(filter(None, outcomes)) == ["failure", "success", "success"]
    assert "data/<& b>.png" in identifiers
    assert len(root.findall("p:object", PREMIS)) == 2 * len(keys) + 1
    assert [element.text for element in root.iterfind(".//p:agentName", PREMIS)] == ["Photochrom"]


def test_an_output_that_was_replaced_by_another_of_its_size_is_not_sealed(
    engine: Engine, destination: str, place: Place, s3_options: S3Options
) -> None:
    job_id = make_job(engine, destination, place)
    place(KEYS[0], f"COLOUR {KEYS[0]}".encode())

    with pytest.raises(UsageError, match="has another content than was stored"):
        Sealer(engine, s3=s3_options).seal(job_id)
