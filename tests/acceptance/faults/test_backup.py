"""docs/backup.md: the job database is dumped during a job, its server is lost, and the job continues from the copy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.conftest import service_folder
from tests.faults.collection import Collection
from tests.faults.outcome import check
from tests.faults.world import World
from tests.services import PostgreSQLServer

SCANS = 96
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def servers() -> Iterator[tuple[PostgreSQLServer, PostgreSQLServer]]:
    """Two independent PostgreSQL servers."""
    with (
        service_folder() as one,
        service_folder() as other,
        PostgreSQLServer(one) as lost,
        PostgreSQLServer(other) as spare,
    ):
        yield lost, spare


def test_a_job_continues_from_a_copy_of_the_database_and_nothing_is_done_twice(
    valkey: ValkeyServer,
    s3_server: S3Server,
    servers: tuple[PostgreSQLServer, PostgreSQLServer],
    tmp_path: Path,
) -> None:
    lost, spare = servers
    world = World(Collection.make(SCANS), tmp_path / "world", valkey=valkey, s3=s3_server, postgresql=lost)
    with world:
        world.submit()
        world.start("scheduler", "worker-1", "worker-2")
        world.wait_for(SCANS // 4)
        lost.dump(world.name, tmp_path / "photochrom.dump")
        at_dump = world.progress().done
        world.wait_for(min(SCANS - 16, at_dump + 16))  # the store has outputs that the copy does not know of
        for name in ("scheduler", "worker-1", "worker-2"):
            world.kill(name)
        lost.stop()

        spare.restore(tmp_path / "photochrom.dump", world.name)
        world.go_on_with(spare.url(world.name))
        predicted = len((world.folder / "device.log").read_text().split())
        assert world.progress().done < SCANS
        world.start("scheduler", "worker-3")
        world.wait_until_completed(150)

        check(world)
        counts = [int(count) for count in (world.folder / "device.log").read_text().split()[predicted:]]
        assert sum(counts) <= SCANS - SCANS // 4 + 4
