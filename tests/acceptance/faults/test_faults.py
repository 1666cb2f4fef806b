"""Everything breaks during one job, and nothing is lost. `make faults` tests each fault alone, over many scans."""

import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.faults.collection import KILLS_CHILD, KILLS_MODEL_SERVER, Collection
from tests.faults.freezing import children_frozen
from tests.faults.messages import messages_repeated
from tests.faults.outcome import check
from tests.faults.world import World
from tests.flaky_s3 import FlakyS3
from tests.services import PostgreSQLServer


def test_with_any_fault_every_scan_is_done_once_and_correctly(
    valkey: ValkeyServer, s3_server: S3Server, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    """S3 fails sometimes, two scans kill the process that opens them, and everything else is killed or stopped once.
    The broker is empty when it starts again.
    """
    collection = Collection.make(64, poisoned=True)
    world = World(collection, tmp_path / "world", valkey=valkey, s3=s3_server, postgresql=postgresql_server)
    with world, FlakyS3(s3_server.endpoint_url, share=0.05, hang_seconds=2) as flaky:
        world.change(PHOTOCHROM_S3_ENDPOINT_URL=flaky.endpoint_url, PHOTOCHROM_S3_TIMEOUT_SECONDS="1")
        world.change(PHOTOCHROM_SCAN_ATTEMPTS="6")
        world.submit()
        world.start("scheduler", "worker-1", "worker-2")
        world.wait_for(4)
        world.kill("worker-1")
        world.valkey.kill()
        world.start("worker-1")
        for server in world.model_servers()[:1]:
            with suppress(psutil.NoSuchProcess):
                server.send_signal(signal.SIGKILL)
        world.valkey.start()
        world.wait_for(20)
        world.kill("scheduler")
        world.postgresql.stop()
        time.sleep(1)
        world.postgresql.start()
        world.engine.dispose()
        world.start("scheduler")
        world.wait_for(32)
        world.kill("worker-2", with_children=False)
        world.start("worker-3")
        world.wait_until_completed(150)
        check(world, failed={KILLS_CHILD: "worker_killed", KILLS_MODEL_SERVER: "worker_killed"})


def test_messages_that_come_again_and_again_cost_no_device_work(
    valkey: ValkeyServer, s3_server: S3Server, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    collection = Collection.make(96)
    with World(collection, tmp_path / "world", valkey=valkey, s3=s3_server, postgresql=postgresql_server) as world:
        messages_repeated(world)


def test_children_that_are_frozen_beyond_their_lease_store_and_record_nothing(
    valkey: ValkeyServer, s3_server: S3Server, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    collection = Collection.make(64)
    with World(collection, tmp_path / "world", valkey=valkey, s3=s3_server, postgresql=postgresql_server) as world:
        children_frozen(world)
