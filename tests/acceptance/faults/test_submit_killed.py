"""`photochrom submit`, killed while it lists a large prefix, and typed again."""

import json
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import Engine, func, select

from db.migrations import upgrade
from db.models.jobs import Job, Scan
from db.session import make_engine, read_scope
from scheduler.standalone.services import S3Server
from tests.acceptance.command import clean_environment, photochrom

SCAN_COUNT = 6_000  # a page and a half


def test_a_submit_killed_in_the_middle_goes_on_and_lists_each_scan_once(
    s3_server: S3Server, bucket: str, postgresql_url: str, tmp_path: Path
) -> None:
    # The server's buckets are folders, and to write files into them is faster than to make the objects over HTTP.
    for box in range(6):
        folder = s3_server.folder / "buckets" / bucket / "in" / f"box {box}"
        folder.mkdir(parents=True)
        for number in range(SCAN_COUNT // 6):
            (folder / f"{number:04}.tif").touch()
    engine = make_engine(postgresql_url)
    upgrade(engine)
    settings = {**s3_server.environment(), "PHOTOCHROM_DATABASE_URL": postgresql_url}
    command = ["submit", f"s3://{bucket}/in", f"s3://{bucket}/out", "--json"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "scheduler", *command], cwd=tmp_path, env=clean_environment(**settings)
    ) as first:
        while counted(engine) == 0 and first.poll() is None:
            time.sleep(0.01)
        first.kill()
    listed = counted(engine)
    assert 0 < listed < SCAN_COUNT, "it was not killed in the middle"
    [waiting] = json.loads(photochrom("status", "--json", folder=tmp_path, **settings).stdout)
    assert (waiting["state"], waiting["scans"]) == ("submitting", listed)

    again = photochrom(*command, folder=tmp_path, **settings)

    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert (said["job_id"], said["resumed"], said["scans"]) == (1, True, SCAN_COUNT)
    with read_scope(engine) as session:
        assert session.scalar(select(func.count(func.distinct(Scan.source_key)))) == SCAN_COUNT == counted(engine)
        assert session.scalars(select(Job.state)).all() == ["running"]
    engine.dispose()


def counted(engine: Engine) -> int:
    with read_scope(engine) as session:
        return session.scalar(select(func.count()).select_from(Scan)) or 0
