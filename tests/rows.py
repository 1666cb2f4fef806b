"""Functions that make database rows for tests, and read them."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select

from db.clock import database_now
from db.models.jobs import Chunk, Job
from db.models.pool import Worker
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pool import workers
from db.queries.scans import records
from db.session import read_scope, session_scope

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def make_job(engine: Engine, *, scan_count: int, chunk_scans: int = 64, priority: int = 0, now: datetime = NOON) -> int:
    """Make a running job with the scans box/0.jpg, box/1.jpg ...; each job has its own destination."""
    listed = [NewScan(f"box/{number}.jpg", f"etag-{number}", 1000, f"box/{number}.jpg") for number in range(scan_count)]
    with session_scope(engine) as session:
        others = session.scalar(select(func.count()).select_from(Job)) or 0
        job_id = lifecycle.create(
            session,
            name="a box",
            source="s3://scans/in",
            destination=f"s3://scans/out{others or ''}",
            options={"format": "source", "quality": 95},
            priority=priority,
            now=now,
        )
        lifecycle.add_scans(session, job_id, listed, chunk_scans=chunk_scans)
        lifecycle.start(session, job_id, other_count=0)
    return job_id


def run_worker(engine: Engine, name: str, checkpoint: str) -> None:
    """Record a worker that runs with this checkpoint. It stays in use for an hour, however slow the test is."""
    with session_scope(engine) as session:
        now = database_now(session)
        beat = now + timedelta(hours=1)
        worker = Worker(name=name, children=1, checkpoint=checkpoint, started_at=now, heartbeat_at=beat)
        workers.register(session, worker)


def chunk_of(engine: Engine, chunk_id: int) -> Chunk:
    with read_scope(engine) as session:
        return session.get_one(Chunk, chunk_id)


def scan_states(engine: Engine, job_id: int) -> list[str]:
    with read_scope(engine) as session:
        return [scan.state for scan in records.of_job(session, job_id)]
