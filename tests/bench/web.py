"""`python -m tests.bench.web`: pages and API lists over a job of a million scans, on PostgreSQL.

Prints the median and the 95th percentile of each, over requests at random places, and exits 1 if one is over its
limit. The scans have no pixels.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pages.scans import MOST_COMPARED
from db.session import session_scope
from scheduler.submission.sampling import SampleRequest, begin_sample
from tests.bench.scale import database, key_of, submit, work_half
from tests.integration.web.conftest import make_web

LIMIT_SECONDS = 0.3
SAMPLED, SAMPLED_JOB = 500, 2  # how many scans the sample has, and the number of its job
OTHER_JOBS = 500
_FIGURES = """
    UPDATE scan SET colourfulness = (id * 7919 % 6000) / 100.0, certainty = (id * 104729 % 10000) / 10000.0,
           mean_a = 6 + (id * 7927 % 900) / 100.0, mean_b = 14 + (id * 7933 % 1100) / 100.0,
           width = 4000, height = 3000, bit_depth = 8, checkpoint = 'first',
           review_weight = CASE WHEN id % 9 = 0 THEN (id * 31 % 1000) / 1000.0 END,
           verdict = CASE WHEN id % 11 = 0 THEN 'accepted' WHEN id % 101 = 0 THEN 'rejected'
                          WHEN id % 1009 = 0 THEN 'redone' END
    WHERE state = 'done'
"""
_TALLIES = """
    INSERT INTO tally (chunk_id, hour, worker, job_id, done_count, failed_count, skipped_count, pixels, source_bytes,
                       first_at, last_at)
    SELECT chunk_id, date_trunc('hour', min(finished_at), 'UTC'), 'w', job_id, count(*) FILTER (WHERE state = 'done'),
           count(*) FILTER (WHERE state = 'failed'), 0, coalesce(sum(CAST(width AS bigint) * height), 0),
           coalesce(sum(source_bytes), 0), min(finished_at), max(finished_at)
    FROM scan WHERE state <> 'pending' GROUP BY chunk_id, job_id
"""


def fill(engine: Engine, count: int) -> None:
    """Make a job that is half done, with figures and verdicts."""
    submit(engine, count)
    work_half(engine, 1)
    with session_scope(engine) as session:
        session.execute(text(_FIGURES))
        session.execute(text(_TALLIES))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def add_others(engine: Engine) -> None:
    """Make a job that waits for a choice from its sample, some jobs that have ended, and a schedule with runs."""
    now = utc_now()
    with session_scope(engine) as session:
        places = {"source": "s3://archive/box", "options": {}, "priority": 0, "now": now}
        waiting = lifecycle.create(session, name="plates", destination="s3://colour/plates", **places)
        listed = [NewScan(f"box/{number:03}.tif", f"e{number}", 9, f"{number:03}.tif") for number in range(SAMPLED)]
        lifecycle.add_scans(session, waiting, listed, chunk_scans=64)
        lifecycle.start(session, waiting, other_count=0, state=JobState.SAMPLED)
        assert waiting == SAMPLED_JOB
        begin_sample(session, waiting, SampleRequest(SAMPLED, ("paper", "vivid")), scan_count=SAMPLED)
        for number in range(OTHER_JOBS):
            job_id = lifecycle.create(session, name=f"box {number}", destination=f"s3://colour/{number}", **places)
            lifecycle.start(session, job_id, other_count=0)
            lifecycle.change_state(session, job_id, JobState.CANCELLED, now=now)
        nightly = {"source": "s3://archive/box", "destination": "s3://colour/nightly", "options": {}, "created_at": now}
        schedule = Schedule(name="plates", **nightly, cron="@daily", timezone="UTC", enabled=False)
        session.add(schedule)
        session.flush()
        runs = [{"state": FiringState.FAILED, "message": "no such bucket", "fired_at": now} for _ in range(OTHER_JOBS)]
        session.add_all(Firing(schedule_id=schedule.id, **run) for run in runs)


def addresses(count: int) -> Iterator[tuple[str, Callable[[random.Random], str]]]:
    """The addresses to request, each at random places."""

    def fixed(path: str) -> Callable[[random.Random], str]:
        return lambda dice: path

    yield "list of jobs", fixed("/jobs")
    yield "list of jobs with a word", lambda dice: f"/jobs?text=box+{dice.randrange(OTHER_JOBS)}"
    yield "list of jobs with a word that none has", fixed("/jobs?text=no-such-word")
    yield "a job, first page", fixed("/jobs/1")
    yield "a job's failures", fixed("/jobs/1/failures")
    yield "a job's head, loaded again", fixed("/jobs/1/head")
    yield "a job's details", fixed("/jobs/1/details")
    yield "a sample of 500 in two ways", fixed(f"/jobs/{SAMPLED_JOB}/sample")
    yield "the first to review", fixed("/jobs/1/review")
    yield "the end of a review", fixed("/jobs/1/review/end")
    yield "a schedule and its runs", fixed("/schedules/one?name=plates")
    yield "a scan", lambda dice: f"/jobs/1/scans/{dice.randrange(1, count)}"
    yield (
        "the next to review",
        lambda dice: f"/jobs/1/review/{dice.randrange(1, count // 2)}?doubtful=true&order=doubtful",
    )
    yield "part of a key", lambda dice: f"/jobs/1?key={dice.randrange(count):09}"
    yield "part of a key that none has", fixed("/jobs/1?key=no-such-key")
    yield "part of a key that many have, late", lambda dice: f"/jobs/1?key=box-{max(1, count // 100_000 - 1):03}"
    yield "part of a key, sorted by key", lambda dice: f"/jobs/1?order=key&key={dice.randrange(count):09}"
    yield "part of a key among the failed", lambda dice: f"/jobs/1?state=failed&key={dice.randrange(count // 1000):05}"
    for order in ("listing", "key", "doubtful", "uncertain", "colourful", "pale"):
        yield f"API, scans by {order}", fixed(f"/api/v1/jobs/1/scans?order={order}")
    for chosen in ("state=failed", "code=truncated", "verdict=accepted", "verdict=none&state=done", "verdict=redone",
                   "state=pending", "verdict=rejected&order=colourful", "doubtful=true&order=pale"):  # fmt: skip
        yield f"API, scans with {chosen}", fixed(f"/api/v1/jobs/1/scans?{chosen}")
    if count <= MOST_COMPARED:  # for a larger job, the page only says where to look instead
        yield "scans unlike their folder", fixed("/jobs/1?unlike=true")
        yield "API, scans unlike their folder", fixed("/api/v1/jobs/1/scans?unlike=true")
    for name, path in (
        ("the new job's form", "/jobs/new"), ("schedules", "/schedules"), ("the new schedule's form", "/schedules/new"),
        ("schedulers and workers", "/pool"), ("API, workers", "/api/v1/workers"),
        ("API, schedules", "/api/v1/schedules"), ("API, reviews of a job", "/api/v1/jobs/1/reviews"),
    ):  # fmt: skip
        yield name, fixed(path)
    yield "one scan in all jobs", lambda dice: f"/scans?key={key_of(dice.randrange(count))}"
    yield "API, one scan in all jobs", lambda dice: f"/api/v1/scans?key={key_of(dice.randrange(count))}"
    yield "API, a scan", lambda dice: f"/api/v1/jobs/1/scans/{dice.randrange(1, count)}"
    yield "API, a job", fixed("/api/v1/jobs/1")
    yield "API, list of jobs", fixed("/api/v1/jobs")


def measure(client: TestClient, count: int, tries: int) -> int:
    """Returns how many are over their limit. Lists of several pages are followed to later pages."""
    dice, late = random.Random(1), 0
    for name, address in addresses(count):
        seconds = []
        cursor = ""
        for _ in range(tries):
            path = address(dice)
            began = time.monotonic()
            answer = client.get(f"{path}{'&' if '?' in path else '?'}cursor={cursor}" if cursor else path)
            seconds.append(time.monotonic() - began)
            answer.raise_for_status()
            if path.startswith("/api/v1/jobs/1/scans?"):
                cursor = answer.json()["next"] or ""
        seconds.sort()
        p95 = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        print(f"{name:52} median {seconds[len(seconds) // 2] * 1000:7.1f} ms, p95 {p95 * 1000:7.1f} ms", flush=True)
        late += p95 > LIMIT_SECONDS
    return late


def measure_csv(client: TestClient, count: int) -> None:
    """The CSV of all scans takes long by its size, so it has no limit: its first bytes, and how many rows a second."""
    began, lines, first = time.monotonic(), 0, 0.0
    with client.stream("GET", "/jobs/1/scans.csv") as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            first = first or time.monotonic() - began
            lines += part.count(b"\n")
    assert lines > count
    seconds = time.monotonic() - began
    print(f"{'CSV of all scans':52} first bytes {first * 1000:.1f} ms, {count / seconds:,.0f} scans/s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.web", description=__doc__)
    parser.add_argument("--scans", type=int, default=1_000_000)
    parser.add_argument("--tries", type=int, default=40)
    arguments = parser.parse_args()
    with database("postgresql") as (engine, _), tempfile.TemporaryDirectory() as folder:
        upgrade(engine)
        began, at = time.monotonic(), utc_now()
        fill(engine, arguments.scans)
        add_others(engine)
        print(f"{arguments.scans:,} scans in {time.monotonic() - began:.0f} s, {at:%Y-%m-%d}", flush=True)
        web = make_web(engine, Path(folder), Path(folder), Path(folder))
        late = measure(web.browser(), arguments.scans, arguments.tries)
        measure_csv(web.browser(), arguments.scans)
        web.context.pictures.stop()
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
