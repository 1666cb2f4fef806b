"""Compares the stores and the database of a world's job with the expected results."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select, text

from db.models.jobs import Chunk, ChunkState, Job, Scan, ScanState
from db.session import read_scope
from scheduler.report import REPORTS
from tests.faults.collection import sha256
from tests.faults.world import World

MOST_DEVICE_WORK = 1.1
_DONE_WRITES = "SELECT scan_id FROM done_log JOIN scan ON scan.id = scan_id WHERE job_id = :job_id"


def check(world: World, *, failed: Mapping[str, str] | None = None) -> None:
    """Check that every scan was done once, with the expected bytes, except those in `failed`, which have
    these codes.
    """
    stored, expected_failures = _stored(world), dict(failed or {})
    with read_scope(world.engine) as session:
        made_at = session.get_one(Job, world.job_id).created_at
        rows = session.scalars(select(Scan).where(Scan.job_id == world.job_id)).all()
        done_writes = Counter(session.scalars(text(_DONE_WRITES), {"job_id": world.job_id}))
        assert set(session.scalars(select(Chunk.state))) == {ChunkState.DONE}
    failures = {row.source_key: row.error_code for row in rows if row.state == ScanState.FAILED}
    assert failures == expected_failures, f"failed: {failures}"
    done = {row.output_key: row for row in rows if row.state == ScanState.DONE}
    assert {row.source_key for row in rows} == set(world.collection.scans)
    assert set(done) == set(stored) == set(world.collection.scans) - set(expected_failures)
    for key, expected in world.collection.outputs(done, made_at):
        assert stored[key] == expected, f"{key} is wrong"
        assert (done[key].output_sha256, done[key].output_bytes) == (sha256(expected), len(expected))
    assert done_writes == {row.id: 1 for row in done.values()}, "a scan was recorded done more than once"
    progress = world.progress()
    assert (progress.done, progress.failed, progress.pending) == (len(done), len(failures), 0)


def device_work(world: World) -> float:
    """How often a scan was predicted, on average."""
    counts = (world.folder / "device.log").read_text().split()
    return sum(map(int, counts)) / len(world.collection.scans)


def _stored(world: World) -> dict[str, bytes]:
    """The outputs in the destination, by key, without the job's report."""
    return {key: data for key, data in _all_stored(world).items() if not key.startswith(REPORTS)}


def _all_stored(world: World) -> dict[str, bytes]:
    if not world.destination.startswith("s3://"):
        folder = Path(world.destination)
        paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    client = world.s3.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=world.name, Prefix="out/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key.removeprefix("out/"): client.get_object(Bucket=world.name, Key=key)["Body"].read() for key in keys}
