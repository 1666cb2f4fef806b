"""`photochrom status --watch` and the progress bar, in a pipe and on a screen."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from db.clock import database_now
from db.models.jobs import Chunk, JobState, Scan
from db.queries.jobs import lifecycle
from db.session import read_scope, session_scope
from scheduler.cli.display import live
from scheduler.cli.display.job_tables import jobs_table
from scheduler.daemon.lease_expiry import complete_jobs
from tests.integration.db.test_views import work
from tests.rows import NOON, make_job


@pytest.fixture
def engine(migrated_sqlite_url: str) -> Engine:
    from db.session import make_engine

    return make_engine(migrated_sqlite_url)


def test_watching_prints_a_line_for_each_change_and_ends_with_the_last_job(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = make_job(engine, scan_count=2, chunk_scans=1), make_job(engine, scan_count=1)
    changes: list[Callable[[], None]] = [
        lambda: work(engine, first, after=timedelta()),
        lambda: None,
        lambda: end(engine),
    ]
    steps = iter(changes)
    monkeypatch.setattr("scheduler.cli.display.live.time.sleep", lambda _: next(steps)())

    live.watch_jobs(engine, None, silent_seconds=20)

    said = capsys.readouterr()
    assert [line.partition(" (")[0] for line in said.err.splitlines()] == [
        "no scheduler is running",
        "no worker is running",
    ]
    assert said.out.splitlines() == [
        "job 1 running: 0 of 2 scans",
        "job 2 running: 0 of 1 scan",
        "job 1 running: 1 of 2 scans, 1.0 scans/min, 0:01:00 left",
        "job 1 cancelled: 1 of 2 scans, 1.0 scans/min",
        "job 2 cancelled: 0 of 1 scan",
    ]


def end(engine: Engine) -> None:
    with session_scope(engine) as session:
        for job in lifecycle.unfinished(session):
            lifecycle.change_state(session, job.id, JobState.CANCELLED, now=NOON)


def test_watching_where_nothing_goes_on_ends_at_once(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    live.watch_jobs(engine, None, silent_seconds=20)

    assert capsys.readouterr().out == ""


def test_the_reason_why_a_job_waits_is_shown_once_above_the_bar(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, shown = make_job(engine, scan_count=2, chunk_scans=1), io.StringIO()
    with session_scope(engine) as session:
        later = database_now(session) + timedelta(minutes=1)
        session.execute(update(Scan).values(error_code="disk_full", error_message="no room on /colour"))
        session.execute(update(Chunk).values(not_before=later))
    changes: list[Callable[[], None]] = [lambda: None, lambda: None, lambda: end(engine)]
    looks = iter(changes)
    monkeypatch.setattr("scheduler.cli.display.live.time.sleep", lambda _: next(looks)())

    live.follow(engine, job_id, Console(file=shown, width=200), trouble=lambda: "the disk of /state is full")

    said = shown.getvalue().splitlines()
    assert [line for line in said if "job 1" not in line] == [
        "waiting: no room on /colour; it is tried again by itself",
        "the disk of /state is full",
    ]


def test_the_bar_says_what_it_counts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, clock = make_job(engine, scan_count=3, chunk_scans=1), iter(range(0, 1000, 10))
    monkeypatch.setattr("scheduler.cli.display.live.time.monotonic", lambda: float(next(clock)))
    bar = live.JobBar(Console(file=io.StringIO()))

    def shown() -> Any:
        with read_scope(engine) as session:
            bar.show(lifecycle.progress(session, job_id))
        return bar._progress.tasks[0].fields["pace"]

    assert shown() == "0:00:20 so far, waiting for the worker"
    work(engine, job_id, after=timedelta())
    assert shown() == "2.0 scans/min, 0:01:00 left"
    for minute in (1, 2):
        work(engine, job_id, after=timedelta(minutes=minute))
    complete_jobs(engine)
    assert shown() == "3.6 scans/min, in 0:00:50"


def test_each_job_is_one_line_of_eighty_columns_with_its_name(engine: Engine) -> None:
    with session_scope(engine) as session:
        names = ["glass plates", f"s3://archive/{'deep/' * 30}box 7"]
        ids = [create_job(session, name) for name in names]
        jobs = [lifecycle.progress(session, job_id) for job_id in ids]
    shown = io.StringIO()

    Console(file=shown, width=80).print(jobs_table(jobs))

    lines = shown.getvalue().splitlines()
    assert [len(lines), max(map(len, lines)) <= 80] == [3, True]
    assert lines[1].endswith("glass plates")
    assert lines[2].endswith("…/box 7")


def create_job(session: Session, name: str) -> int:
    place = {"source": "s3://a/b", "destination": "s3://a/c"}
    return lifecycle.create(session, name=name, **place, options={}, priority=0, now=NOON)
