"""Two jobs over scans of the same names, into one destination, while workers are killed.

Each function returns what it measured, as a sentence.
"""

import pytest

from db.errors import Conflict
from db.models.jobs import JobState, ScanState
from db.queries.jobs import lifecycle
from db.queries.scans import records
from db.session import session_scope
from tests.faults.collection import sha256
from tests.faults.world import World

OTHER = "other"  # the second source, and the folder that its outputs have in the destination


def two_jobs(world: World, kills: int) -> str:
    """The second job is refused until it uses a separate folder, even while workers still hold scans of a cancelled
    job.
    """
    world.collection.put(world.s3.client(), world.name, OTHER)
    world.submit()
    with pytest.raises(Conflict):
        world.submit_also(world.destination, source=OTHER)
    second = world.submit_also(world.destination, source=OTHER, output_prefix=OTHER)
    world.start("scheduler", "worker-1", "worker-2")
    _cancelled_in_hand(world)
    for _ in range(kills):
        before = world.progress().pending
        world.wait(lambda: world.progress().pending < before or world.progress().ended, 120)  # noqa: B023
        world.kill("worker-1")
        world.start("worker-1")
    world.wait(lambda: world.ended(world.job_id) and world.ended(second), 300)
    compared = sum(_compare(world, job_id) for job_id in (world.job_id, second))
    assert compared == 2 * len(world.collection.scans)
    return f"{kills} kills; the hashes in {compared} rows equal the files"


def _cancelled_in_hand(world: World) -> None:
    """Cancel a job in another destination while a worker holds its scans. The worker may still store their outputs, so
    these stay claimed.
    """
    destination = f"{world.destination}-cancelled"
    cancelled = world.submit_also(destination, priority=9)
    world.wait(lambda: world.out(cancelled) > 0, 60)
    with session_scope(world.engine) as session:
        lifecycle.change_state(session, cancelled, JobState.CANCELLED, now=world.now())
    with pytest.raises(Conflict):
        world.submit_also(destination, source=OTHER)


def _compare(world: World, job_id: int) -> int:
    """Compare a job's outputs with their rows. Returns how many outputs were read."""
    client, count = world.s3.client(), 0
    for scan in records.stream(world.engine, job_id):
        assert scan.state == ScanState.DONE, (scan.source_key, scan.state, scan.error_message)
        stored = client.get_object(Bucket=world.name, Key=f"out/{scan.output_key}")["Body"].read()
        assert sha256(stored) == scan.output_sha256, scan.output_key
        count += 1
    return count
