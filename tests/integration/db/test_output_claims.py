"""An output belongs to one source, and one job at a time makes it. On SQLite and on PostgreSQL."""

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.orm import Session

from db.errors import Conflict
from db.migrations import upgrade
from db.models.jobs import Chunk, Job, JobState, Scan
from db.models.outputs import OutputClaim
from db.models.reviews import Verdict
from db.queries.chunks import claims, dispatch
from db.queries.jobs import lifecycle, output_claims, retries
from db.queries.jobs.lifecycle import NewScan
from db.session import make_engine, read_scope, session_scope
from tests.rows import NOON, scan_states


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
        code = "truncated" if scans == "failed" else None
        values = {"state": scans, "output_sha256": sha256, "error_code": code, "finished_at": NOON}
        session.execute(update(Scan).where(Scan.job_id == job_id).values(values))
        claims.recount(session, session.scalars(select(Chunk.id).where(Chunk.job_id == job_id)).all(), now=NOON)
        session.execute(update(Job).where(Job.id == job_id).values(state=state, finished_at=NOON))


def test_two_sources_cannot_have_one_output(engine: Engine) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif", "0002.tif")

    with pytest.raises(Conflict, match=rf"0002\.tif \(job {first}\).*--output-prefix"):
        submit(engine, "s3://b/box2", "0002.tif", "0003.tif")

    with read_scope(engine) as session:
        assert len(session.scalars(select(OutputClaim.uri)).all()) == 2


def test_a_finished_output_belongs_to_its_source_for_ever(engine: Engine) -> None:
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


def test_unmade_outputs_of_a_cancelled_job_are_free_once_no_worker_holds_them(engine: Engine) -> None:
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


def retry(engine: Engine, job_id: int) -> int:
    with session_scope(engine) as session:
        return retries.retry_failed(session, job_id, now=NOON)


@pytest.mark.parametrize("is_done", [False, True])
def test_a_retry_is_refused_where_another_job_has_taken_the_output_over(engine: Engine, is_done: bool) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif", "0002.tif")
    end(engine, first, scans="failed")
    second = submit(engine, "s3://b/box1", "0002.tif")
    if is_done:
        end(engine, second)

    with pytest.raises(Conflict, match=rf"^0002\.tif \(job {second}\).*nothing was retried.*--missing-only"):
        retry(engine, first)

    assert scan_states(engine, first) == ["failed", "failed"]


def test_a_retry_is_refused_where_another_source_has_taken_the_output_over(engine: Engine) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, first, scans="failed")
    second = submit(engine, "s3://b/box2", "0002.tif")
    with session_scope(engine) as session:
        # An upgrade finds this if two jobs wrote one output before outputs were claimed.
        session.execute(delete(OutputClaim))
        session.execute(update(Scan).where(Scan.job_id == second).values(output_key="0001.tif"))
        source = output_claims.source_hash("s3://b/box2/0002.tif")
        session.add(OutputClaim(uri="s3://b/colour/0001.tif", source_hash=source, job_id=second))

    with pytest.raises(Conflict, match=rf"0001\.tif \(job {second}\)"):
        retry(engine, first)


@pytest.mark.parametrize(("state", "scans"), [(JobState.COMPLETED, "failed"), (JobState.CANCELLED, "pending")])
def test_a_retry_takes_back_what_another_job_did_not_make(engine: Engine, state: str, scans: str) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, first, scans="failed")
    second = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, second, state, scans)

    assert retry(engine, first) == 1

    with pytest.raises(Conflict, match=f"job {first}.*still to make"):
        submit(engine, "s3://b/box1", "0001.tif")


def test_a_retry_leaves_an_output_that_was_accepted_meanwhile(engine: Engine) -> None:
    first = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, first)
    second = submit(engine, "s3://b/box1", "0001.tif")
    end(engine, second, scans="failed")
    with session_scope(engine) as session:
        session.execute(update(Scan).where(Scan.job_id == first).values(verdict=Verdict.ACCEPTED))

    with pytest.raises(Conflict, match=r"accepted.*0001\.tif.*--overwrite-accepted"):
        retry(engine, second)
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == second).values(selection={"overwrite_accepted": True}))
    assert retry(engine, second) == 1


def test_more_outputs_are_claimed_again_than_a_statement_takes_values(engine: Engine) -> None:
    keys = [f"{number}.tif" for number in range(66_000)]
    end(engine, submit(engine, "s3://b/box1", *keys))

    assert submit(engine, "s3://b/box1", *keys) == 2


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


def test_a_claim_that_is_released_during_a_takeover_is_inserted_again(
    postgresql_url: str, other: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(postgresql_url)
    upgrade(engine)
    cancelled = submit(engine, "s3://b/box1", "1.tif")
    end(engine, cancelled, state=JobState.CANCELLED, scans="pending")
    locked = output_claims._locked

    def locked_after_a_release(session: Session, uris: Sequence[str]) -> Sequence[OutputClaim]:
        monkeypatch.setattr(output_claims, "_locked", locked)
        other.submit(release, engine, cancelled).result(10)
        return locked(session, uris)

    monkeypatch.setattr(output_claims, "_locked", locked_after_a_release)
    second = submit(engine, "s3://b/box1", "1.tif")
    end(engine, second)

    with pytest.raises(Conflict, match="another source"):
        submit(engine, "s3://b/box2", "1.tif")
    engine.dispose()


def release(engine: Engine, job_id: int) -> None:
    with session_scope(engine) as session:
        output_claims.release(session, lifecycle.get(session, job_id))
        session.execute(delete(Scan).where(Scan.job_id == job_id))


def test_a_release_and_a_submission_lock_claims_in_one_order(postgresql_url: str, other: ThreadPoolExecutor) -> None:
    """The table has the claims in another order. In that order, the release would cause a deadlock."""
    engine = make_engine(postgresql_url)
    upgrade(engine)
    cancelled = submit(engine, "s3://b/box1", "2.tif")
    with session_scope(engine) as session:
        lifecycle.add_scans(session, cancelled, [NewScan("1.tif", "e", 1, "1.tif")], chunk_scans=64)

    with session_scope(engine) as session:
        output_claims._locked(session, ["s3://b/colour/1.tif"])
        releasing = other.submit(release, engine, cancelled)
        while not releasing.done() and not _anyone_waits(engine):
            pass
        output_claims._locked(session, ["s3://b/colour/2.tif"])
    releasing.result(10)

    with read_scope(engine) as session:
        assert session.scalars(select(OutputClaim.uri)).all() == []
    engine.dispose()


def test_claims_of_new_outputs_are_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    locked = output_claims._locked

    def noted(session: Session, uris: Sequence[str]) -> Sequence[OutputClaim]:
        asked.extend(uris)
        return locked(session, uris)

    monkeypatch.setattr(output_claims, "_locked", noted)

    submit(engine, "s3://b/box1", "0001.tif", "0002.tif")
    assert asked == []
    with pytest.raises(Conflict):
        submit(engine, "s3://b/box1", "0002.tif", "0003.tif")
    assert asked == ["s3://b/colour/0002.tif", "s3://b/colour/0003.tif"]


def _anyone_waits(engine: Engine) -> bool:
    with read_scope(engine) as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))


def test_an_upgrade_claims_the_outputs_that_are_there(database_url: str) -> None:
    """The hash is the same in PostgreSQL, SQLite and Python, so that the next submission recognizes its own claims."""
    engine = make_engine(database_url)
    upgrade(engine)
    names = ("ä b.tif", "2.tif")
    end(engine, submit(engine, "s3://b/box1", *names))
    with read_scope(engine) as session:
        before = {(row.uri, row.source_hash) for row in session.scalars(select(OutputClaim))}
    with session_scope(engine) as session:
        session.execute(text("DROP TABLE output_claim"))
    revision = importlib.import_module("db.migrations.versions.0012_output_claims")

    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        revision.upgrade()

    with read_scope(engine) as session:
        assert {(row.uri, row.source_hash) for row in session.scalars(select(OutputClaim))} == before
    engine.dispose()
