"""Urgent jobs, jobs that share the workers, and commands that act while workers are busy, all over few scans."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.standalone.services import S3Server, ValkeyServer
from tests.faults import control
from tests.faults.collection import Collection
from tests.faults.world import World
from tests.services import PostgreSQLServer


@pytest.mark.parametrize("scan_count", [280])
@pytest.mark.parametrize("scenario", [control.urgent_job_first, control.equal_jobs_share, control.control_is_quick])
def test_commands_act_soon_on_a_busy_pool(
    scenario: Callable[[World], str],
    scan_count: int,
    valkey: ValkeyServer,
    s3_server: S3Server,
    postgresql_server: PostgreSQLServer,
    tmp_path: Path,
) -> None:
    collection = Collection.make(scan_count)
    with World(collection, tmp_path / "world", valkey=valkey, s3=s3_server, postgresql=postgresql_server) as world:
        scenario(world)
