"""A nightly job as in an archive: a prefix that grows, a schedule, and a scheduler that fires it by itself."""

import json
import subprocess
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from sqlalchemy import update

from db.clock import utc_now
from db.models.jobs import Job
from db.models.schedules import Schedule
from db.session import make_engine, read_scope, session_scope
from scheduler.standalone.services import S3Server, ValkeyServer
from tests.waiting import wait_until

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def settings(valkey: ValkeyServer, s3_server: S3Server, sqlite_url: str) -> dict[str, str]:
    return {
        **s3_server.environment(),
        "PHOTOCHROM_BROKER_URL": valkey.url,
        "PHOTOCHROM_DATABASE_URL": sqlite_url,
        "PHOTOCHROM_STAND_IN_MODEL_MILLISECONDS": "25",
        "PHOTOCHROM_BATCH_SIZE": "1",  # so that the model's time is in proportion to the scans
        "PHOTOCHROM_CHILDREN": "2",
        "PHOTOCHROM_SCHEDULER_ROUND_SECONDS": "0.2",
        "PHOTOCHROM_RECORD_SECONDS": "0.5",
    }


def add_scans(s3: S3Server, bucket: str, prefix: str, numbers: range) -> None:
    small = np.random.default_rng(1).integers(0, 256, (60, 80), dtype=np.uint8)
    body = bytes(cv2.imencode(".png", small)[1])
    for number in numbers:
        s3.client().put_object(Bucket=bucket, Key=f"{prefix}/{number:04}.png", Body=body)


def wait_for_job(database_url: str, number: int) -> Job:
    engine = make_engine(database_url)

    def job() -> Job | None:
        with read_scope(engine) as session:
            return session.get(Job, number)

    wait_until(lambda: (row := job()) is not None and row.finished_at is not None)
    finished = job()
    engine.dispose()
    assert finished
    return finished


def test_a_night_does_the_new_scans_alone(
    command: Command, start: Callable[[str], object], s3_server: S3Server, bucket: str, sqlite_url: str
) -> None:
    add_scans(s3_server, bucket, "plates", range(40))
    command("db", "upgrade")
    for process in ("scheduler", "worker"):
        start(process)
    night = ("--cron", "0 1 * * *", "--timezone", "Europe/Rome")
    added = command("schedule", "add", "plates", f"s3://{bucket}/plates", f"s3://{bucket}/colour", *night)
    assert added.returncode == 0, added.stderr
    command("schedule", "run", "plates")
    assert wait_for_job(sqlite_url, 1).scan_count == 40
    add_scans(s3_server, bucket, "plates", range(40, 50))

    with session_scope(make_engine(sqlite_url)) as session:  # it is one o'clock
        session.execute(update(Schedule).values(next_due_at=utc_now()))
    nightly = wait_for_job(sqlite_url, 2)

    assert nightly.scan_count == 10
    report = f"colour/photochrom-reports/{nightly.created_at:%Y-%m-%d}-job-2.html"
    s3_server.client().get_waiter("object_exists").wait(Bucket=bucket, Key=report, WaiterConfig={"Delay": 1})
    [by_itself, by_hand] = json.loads(command("schedule", "history", "plates", "--json").stdout)
    assert (by_itself["job_id"], by_itself["state"], by_hand["due_at"]) == (2, "submitted", None)
