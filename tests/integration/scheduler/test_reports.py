"""Each job's report is written once, when the job ends, into the folder of its outputs."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from db.clock import utc_now
from db.models.jobs import Job, JobState
from db.queries.archives import progress
from db.queries.jobs import lifecycle, retries
from db.queries.jobs.lifecycle import NewScan
from db.session import read_scope, session_scope
from scheduler.daemon.lease_expiry import complete_jobs
from scheduler.daemon.report_writer import Reporter
from scheduler.report import build, groups
from scheduler.report.store import store_report
from tests.at_once import AtOnce
from tests.integration.db.test_views import work
from tests.rows import make_job
from worker.errors import Conflict
from worker.settings.settings import Settings


@pytest.fixture
def job(engine: Engine, tmp_path: Path) -> int:
    """A job of two scans between two folders."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with session_scope(engine) as session:
        places = {"source": str(tmp_path / "in"), "destination": str(tmp_path / "out")}
        options = {"format": "source", "quality": 95}
        job_id = lifecycle.create(session, name="box", **places, options=options, priority=0, now=utc_now())
        listed = [NewScan(f"{number}.png", None, None, f"{number}.png") for number in range(2)]
        lifecycle.add_scans(session, job_id, listed, chunk_scans=2)
        lifecycle.start(session, job_id, other_count=0)
    return job_id


def reporter(engine: Engine) -> Reporter:
    return Reporter(engine, Settings(), AtOnce())


def reports(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out" / "photochrom-reports").glob("*"))


def end(engine: Engine, job: int, **how: int) -> None:
    work(engine, job, after=timedelta(), **how)  # type: ignore[arg-type]
    complete_jobs(engine)


def test_a_job_that_ends_gets_its_report_once(engine: Engine, job: int, tmp_path: Path) -> None:
    reporter(engine).round()
    assert reports(tmp_path) == []
    end(engine, job)

    for each in (reporter(engine), reporter(engine)):
        each.round()

    [written] = reports(tmp_path)
    assert written.name == f"{utc_now():%Y-%m-%d}-job-{job}.html"
    assert "All <b>2</b> scans were coloured" in written.read_text()
    with read_scope(engine) as session:
        found = lifecycle.get(session, job)
        assert (found.report_due_at, found.report_key) == (None, f"photochrom-reports/{written.name}")


def test_a_job_that_is_retried_gets_a_new_report(engine: Engine, job: int, tmp_path: Path) -> None:
    end(engine, job, failed=1)
    reporter(engine).round()
    with session_scope(engine) as session:
        retries.retry_failed(session, job, now=utc_now())
    end(engine, job)

    reporter(engine).round()

    [written] = reports(tmp_path)
    assert "All <b>2</b> scans were coloured" in written.read_text()


def test_a_report_is_tried_again_when_its_store_is_there_again(engine: Engine, job: int, tmp_path: Path) -> None:
    (tmp_path / "out").rename(tmp_path / "away")
    end(engine, job)
    reporter(engine).round()
    (tmp_path / "away").rename(tmp_path / "out")
    reporter(engine).round()
    assert reports(tmp_path) == []
    with session_scope(engine) as session:  # five minutes later
        session.execute(update(Job).values(report_due_at=utc_now()))

    reporter(engine).round()

    assert len(reports(tmp_path)) == 1


def test_a_cancelled_job_has_its_report_after_its_workers_settled(engine: Engine, job: int, tmp_path: Path) -> None:
    with session_scope(engine) as session:
        lifecycle.change_state(session, job, JobState.CANCELLED, now=utc_now())
    reporter(engine).round()
    assert reports(tmp_path) == []
    with session_scope(engine) as session:
        session.execute(update(Job).values(report_due_at=utc_now()))

    reporter(engine).round()

    assert "0</b> of 2 scans" in reports(tmp_path)[0].read_text()


def test_a_report_of_a_job_that_is_deleted_meanwhile_is_not_stored(
    engine: Engine, job: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(engine, job)
    make_job(engine, scan_count=1)  # in SQLite the latest job can't be deleted

    def choose_then_delete(*arguments: Any) -> object:
        chosen = groups.choose(*arguments)
        with session_scope(engine) as session:
            deletion = progress.begin_deletion(session, job, forget_accepted=False, now=utc_now())
            assert progress.step(session, deletion, keeps_traces=False, most=10, now=utc_now()) == 2
        return chosen

    monkeypatch.setattr(build, "choose", choose_then_delete)

    with pytest.raises(Conflict, match=f"job {job} is being deleted"):
        store_report(engine, job, Settings())
    assert reports(tmp_path) == []


def test_reports_can_be_turned_off(engine: Engine, job: int, tmp_path: Path) -> None:
    end(engine, job)

    Reporter(engine, Settings(write_reports=False), AtOnce()).round()

    assert reports(tmp_path) == []
