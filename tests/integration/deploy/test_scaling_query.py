"""The manifest's query, by which KEDA adds and removes workers, on a real PostgreSQL."""

from pathlib import Path

import yaml
from sqlalchemy import Engine, text, update

from db.migrations import upgrade
from db.models.jobs import Chunk, JobState
from db.queries.chunks import dispatch
from db.queries.jobs import lifecycle
from db.session import make_engine, read_scope, session_scope
from tests.rows import NOON, make_job

MANIFEST = Path(__file__).parents[3] / "deploy" / "kubernetes" / "worker-scaling.yaml"


def waiting(engine: Engine) -> int:
    scaled = next(each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8")) if each["kind"] == "ScaledObject")
    with read_scope(engine) as session:
        return int(session.scalar(text(scaled["spec"]["triggers"][0]["metadata"]["query"])) or 0)


def test_workers_are_wanted_from_the_first_chunk_to_the_last(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    assert waiting(engine) == 0
    job_id = make_job(engine, scan_count=100, chunk_scans=10)
    assert waiting(engine) == 10

    with session_scope(engine) as session:
        dispatch.take_for_dispatch(session, job_id, 3, now=NOON)
    assert waiting(engine) == 10  # chunks at the broker or at a worker are still to be done
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.PAUSED, now=NOON)
    assert waiting(engine) == 0
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.RUNNING, now=NOON)
        session.execute(update(Chunk).values(state="done", done_count=10, queued_at=None))
    assert waiting(engine) == 0
