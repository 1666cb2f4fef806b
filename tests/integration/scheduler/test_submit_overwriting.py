"""What `--overwrite` and `--missing-only` leave out if the destination has outputs, in a folder and on real S3."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.models.jobs import ScanState
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle
from db.queries.scans import leases, records
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import make_engine, read_scope, session_scope
from scheduler.submission.submitter import Submission, Submitter
from tests.rows import NOON
from worker.storage import S3Options, open_storage, parse_location

KEPT, RESCANNED, LOST, CUT, NEW = KEYS = ("ä b.png", "box/1.png", "box/2.png", "box/3.png", "new.png")
MADE = b"in colour"
Place = Callable[[str, bytes], None]  # key, contents


@pytest.fixture
def engine(migrated_sqlite_url: str) -> Engine:
    return make_engine(migrated_sqlite_url)


@pytest.fixture(params=["folders", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}"
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return str(tmp_path)


@pytest.fixture
def place(root: str, s3_options: S3Options, tmp_path: Path) -> Place:
    def store(key: str, contents: bytes) -> None:
        (tmp_path / "placed").write_bytes(contents)
        side, _, rest = key.partition("/")
        open_storage(parse_location(f"{root}/{side}"), s3=s3_options).store(
            tmp_path / "placed", rest, content_type="image/png"
        )

    return store


@pytest.fixture
def remove(root: str, request: pytest.FixtureRequest) -> Callable[[str], None]:
    def from_s3(key: str) -> None:
        server = request.getfixturevalue("s3_server")
        server.client().delete_object(Bucket=root.removeprefix("s3://"), Key=key)

    return from_s3 if root.startswith("s3://") else lambda key: Path(root, key).unlink()


@pytest.fixture
def submit(engine: Engine, root: str, s3_options: S3Options) -> Callable[..., list[str]]:
    """`submit(checkpoint="two", overwrite="never")` submits a job, and returns its keys."""

    def ask(checkpoint: str = "one", **options: object) -> list[str]:
        asked = Submission(f"{root}/in", f"{root}/out", **options)  # type: ignore[arg-type]
        job_id = Submitter(engine, s3=s3_options, chunk_scans=9, checkpoints=lambda: [checkpoint]).submit(asked).job_id
        if job_id is None:
            return []
        with read_scope(engine) as session:
            return sorted(scan.source_key for scan in records.of_job(session, job_id))

    return ask


def colour_all(engine: Engine, place: Place, job_id: int) -> None:
    with session_scope(engine) as session:
        for message in dispatch.take_for_dispatch(session, job_id, 99, now=NOON):
            claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
            for scan in claims.pending_scans(session, message.chunk_id):
                place(f"out/{scan.output_key}", MADE)
                measured = ScanMeasurements(output_sha256="0", output_bytes=len(MADE), checkpoint="one", source_bytes=4)
                done = ScanRecord(scan.id, ScanState.DONE, 1, measured, "w", NOON)
                leases.record(session, message, [done], lease_seconds=60, now=NOON)
            claims.release(session, message, not_before=None)
        lifecycle.complete_finished(session, now=NOON)


@pytest.fixture
def _coloured(engine: Engine, place: Place, remove: Callable[[str], None], submit: Callable[..., list[str]]) -> None:
    """A collection that the checkpoint `one` has coloured, with some of its files changed since."""
    for key in KEYS[:-1]:
        place(f"in/{key}", b"grey")
    submit()
    colour_all(engine, place, 1)
    place(f"in/{RESCANNED}", b"gray")  # as long as before
    remove(f"out/{LOST}")
    place(f"out/{CUT}", MADE[:-1])
    place(f"in/{NEW}", b"grey")
    place(f"out/{NEW}", b"from elsewhere")


@pytest.mark.usefixtures("_coloured")
@pytest.mark.parametrize(
    ("options", "checkpoint", "expected"),
    [
        ({}, "one", [RESCANNED, LOST, CUT, NEW]),
        ({"overwrite": "always"}, "one", KEYS),
        ({"overwrite": "never"}, "two", [LOST]),
        ({"overwrite": "new"}, "two", [RESCANNED, LOST, CUT, NEW]),
        ({"overwrite": "changed"}, "one", [RESCANNED, LOST, CUT, NEW]),
        ({"missing_only": True}, "one", [RESCANNED, LOST, CUT, NEW]),
        ({"missing_only": True}, "two", KEYS),
        ({"missing_only": True, "format": "tiff"}, "one", KEYS),
    ],
    ids=lambda value: " ".join(map(str, value.items())) if isinstance(value, dict) else None,
)
def test_existing_outputs_are_left_out_as_the_option_overwrite_says(
    options: dict[str, object], checkpoint: str, expected: list[str], submit: Callable[..., list[str]]
) -> None:
    assert submit(checkpoint, **options) == sorted(expected)


@pytest.mark.usefixtures("_coloured")
@pytest.mark.parametrize(("overwrite", "replaced"), [("always", 4), ("changed", 3), ("never", 0)])
def test_a_submission_says_beforehand_how_many_outputs_it_replaces(
    engine: Engine, root: str, s3_options: S3Options, overwrite: str, replaced: int
) -> None:
    request = Submission(f"{root}/in", f"{root}/out", overwrite=overwrite)
    submitter = Submitter(engine, s3=s3_options, chunk_scans=9, checkpoints=lambda: ["one"])

    for result in (submitter.dry_run(request), submitter.submit(request)):
        assert result.replaced == replaced
        assert (f"which will replace {replaced} existing outputs" in result.sentence()) == bool(replaced)


@pytest.mark.usefixtures("_coloured")
def test_a_submission_with_other_options_says_how_many_outputs_it_replaces(
    engine: Engine, root: str, s3_options: S3Options
) -> None:
    other = Submission(f"{root}/in", f"{root}/out", saturation=1.3)
    submitter = Submitter(engine, s3=s3_options, chunk_scans=9, checkpoints=lambda: ["one"])

    assert submitter.dry_run(other).replaced == submitter.submit(other).replaced == 4


@pytest.mark.usefixtures("_coloured")
def test_done_again_nothing_is_missing_any_more(engine: Engine, place: Place, submit: Callable[..., list[str]]) -> None:
    assert submit(missing_only=True)
    colour_all(engine, place, 2)
    assert (submit(missing_only=True), submit(overwrite="new"), submit(overwrite="never")) == ([], [], [])
