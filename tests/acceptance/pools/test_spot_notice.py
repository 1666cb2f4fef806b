"""A worker on a machine that will be taken away drains, and another worker continues its work."""

import json
from pathlib import Path

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.faults.collection import Collection
from tests.faults.stopping import worker_told_to_stop
from tests.faults.world import World
from tests.metadata_server import AWS_PATH, Metadata, serving
from tests.services import PostgreSQLServer


def test_a_worker_drains_when_its_machine_is_given_notice(
    valkey: ValkeyServer, s3_server: S3Server, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    world = World(Collection.make(120), tmp_path, valkey=valkey, s3=s3_server, postgresql=postgresql_server)
    with world, serving(Metadata) as server:
        where = f"http://127.0.0.1:{server.server_port}{AWS_PATH}"

        def give_notice() -> None:
            server.RequestHandlerClass.notice = json.dumps({"action": "terminate"})  # type: ignore[attr-defined]

        worker_told_to_stop(world, give_notice, PHOTOCHROM_STOP_NOTICE=where, PHOTOCHROM_STOP_NOTICE_SECONDS="0.2")

    assert "this machine will be taken away" in (tmp_path / "worker-1.log").read_text()
