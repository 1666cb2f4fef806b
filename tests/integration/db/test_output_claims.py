"""An output belongs to one source, and one job at a time makes it. On SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, delete, select, text, update

from db.errors import Conflict
from db.migrations import upgrade
from db.models.jobs import Chunk, Job, JobState, Scan
from db.models.outputs import OutputClaim
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle, output_claims
from db.queries.jobs.lifecycle import NewScan
from db.session import make_engine, read_scope, session_scope
from tests.rows import NOON


def submit(engine: Engine, source: str, *keys: str, destination: str = "s3://b/colour") -> int:
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name=source, source=source, destination=destination, options={}, priority=0, now=NOON
        )
        lifecycle.add_scans(session, job_id, [NewScan(key, "e", 1, key) for key in keys], chunk_scans=64)
        lifecycle.start(session, job_id, other_count=0)
    return job_id


def end(engine: Engine, job_id: int, state: str = JobState.COMPLETED, scans: str = "done") -> None:
    with session_scope(engine) as session:
        sha256 = "0" * 64 if scans == "done" else None
        session.execute(update(Scan).where(Scan.job_id == job_id).values(state=scans, output_sha256=sha256))
        session.execute(update(Job).where(Job.id == job_id).values(state=state, finished_at=NOON))


def test_two_sources_cannot_have_one_output(engine: Engine) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif", "0002.tif")

    with pytest.raises(Conflict, match=rf"0002\.tif \(job {first}\).*--output-prefix"):
        submit(engine, "s3://b/box2", "0002.tif", "0003.tif")

    with read_scope(engine) as session:
        assert len(session.scalars(select(OutputClaim.uri)).all()) == 2


def test_what_one_source_has_done_is_its_own_for_ever(engine: Engine) -> None:
    job_id = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, job_id)
    with session_scope(engine) as session:
        session.execute(delete(Job))  # as when old jobs are cleared out

    with pytest.raises(Conflict, match="another source"):
        submit(engine, "s3://b/box2", "0001.tif")
    assert submit(engine, "s3://b/box1", "0001.tif")


def test_a_destination_within_another_holds_the_same_outputs(engine: Engine) -> None:
    submit(engine, "s3://b/all", "box1/0001.tif")

    with pytest.raises(Conflict):
        submit(engine, "s3://b/box1", "0001.tif", destination="s3://b/colour/box1")


def test_what_a_cancelled_job_left_undone_is_free_once_no_worker_holds_it(engine: Engine) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif")
    with session_scope(engine) as session:
        [message] = dispatch.take_for_dispatch(session, first, 1, now=NOON)
        claims.claim(session, message, worker="w/1", lease_seconds=60, now=NOON)
        lifecycle.change_state(session, first, JobState.CANCELLED, now=NOON)

    for source in ("s3://b/box2", "s3://b/box1"):
        with pytest.raises(Conflict):
            submit(engine, source, "0001.tif")

    with session_scope(engine) as session:
        claims.release(session, message, not_before=None)
    second = submit(engine, "s3://b/box2", "0001.tif")
    with read_scope(engine) as session:
        assert output_claims.claimants(session, "s3://b/colour", ["0001.tif"]) == {"0001.tif": second}


def test_one_job_at_a_time_makes_an_output(engine: Engine) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif")

    with pytest.raises(Conflict, match=f"job {first}.*still to make"):
        submit(engine, "s3://b/box1", "0001.tif")
    end(engine, first)

    assert submit(engine, "s3://b/box1", "0001.tif")


def test_a_submission_that_is_taken_back_claims_nothing(engine: Engine) -> None:
    done = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, done)
    again = submit(engine, "s3://b/box1", "0001.tif", "0002.tif")
    with session_scope(engine) as session:
        lifecycle.remove(session, again)

    assert submit(engine, "s3://b/box2", "0002.tif")
    with pytest.raises(Conflict):
        submit(engine, "s3://b/box2", "0001.tif")


def test_of_two_submissions_at_once_one_is_refused(postgresql_url: str, other: ThreadPoolExecutor) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name="1", source="s3://b/box1", destination="s3://b/colour", options={}, priority=0, now=NOON
        )
        lifecycle.add_scans(session, job_id, [NewScan("1.tif", "e", 1, "1.tif")], chunk_scans=64)
        second = other.submit(submit, engine, "s3://b/box2", "1.tif")
        while not second.done() and not _anyone_waits(engine):
            pass
    with pytest.raises(Conflict):
        second.result(10)
    with read_scope(engine) as session:
        assert session.scalars(select(Chunk.job_id)).all() == [job_id]
    engine.dispose()


def _anyone_waits(engine: Engine) -> bool:
    with read_scope(engine) as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))


def test_an_upgrade_claims_the_outputs_that_are_there(database_url: str) -> None:
    """By the same hash in PostgreSQL, SQLite and Python, so that the next submission knows its own."""
    engine = make_engine(database_url)
    upgrade(engine)
    names = ("ä b.tif", "2.tif")
    end(engine, submit(engine, "s3://b/box1", *names))
    with read_scope(engine) as session:
        before = {(row.uri, row.source_hash) for row in session.scalars(select(OutputClaim))}
    with session_scope(engine) as session:
        for statement in ("DROP TABLE output_claim", "UPDATE alembic_version SET version_num = '0011'"):
            session.execute(text(statement))
        session.execute(text("ALTER TABLE job DROP COLUMN report_tries"))

    upgrade(engine)

    with read_scope(engine) as session:
        assert {(row.uri, row.source_hash) for row in session.scalars(select(OutputClaim))} == before
    engine.dispose()
