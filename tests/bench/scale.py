"""`make scale`: how long each operation takes with a million scans in the job database, which have no pixels.

Prints one line for each figure, with its limit, for PostgreSQL and for SQLite. Exits 1 if one is over its limit, by its
best try, because the first one has a cold cache.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Engine, text

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import JobState, ScanState
from db.models.pool import Worker
from db.queries.chunks.claims import ChunkMessage
from db.queries.jobs import lifecycle, retries
from db.queries.jobs.lifecycle import NewScan
from db.queries.pool import workers
from db.queries.reports import rows
from db.queries.scans import records
from db.session import make_engine, read_scope, session_scope
from scheduler.daemon import lease_expiry
from scheduler.daemon.dispatcher import Dispatcher
from scheduler.submission.submitter import PAGE_SCANS
from tests.bench import views
from tests.conftest import service_folder
from tests.services import PostgreSQLServer
from worker.settings.settings import Settings

FAILED_EVERY = 200  # of the scans, so half a percent has failed
CHILDREN = 64


class SilentQueue:
    """A queue that drops its messages, because the broker is not measured here."""

    def publish(self, messages: Sequence[ChunkMessage]) -> None:
        pass

    def depth(self) -> int:
        return 0


class Stopwatch:
    """Prints each figure, the best of `tries`, beside its limit in seconds."""

    def __init__(self, database: str) -> None:
        self._database = database
        self.late = 0

    def time(
        self,
        what: str,
        limit: float,
        do: Callable[[], object],
        tries: int = 5,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """`before` is called before each try, and its time is not counted."""
        taken = []
        for _ in range(tries):
            before()
            began = time.monotonic()
            do()
            taken.append(time.monotonic() - began)
        # The first try reads from disk what the later tries find in memory.
        slowest, fastest = max(taken), min(taken)
        print(
            f"{self._database:10} {what:42} {fastest:9.3f} s, at most {slowest:9.3f} s; limit {limit:g} s", flush=True
        )
        self.late += fastest > limit


def key_of(number: int) -> str:
    """The key of a scan in the job of `submit`."""
    return f"collection/box-{number // 1000:05}/{number:09}.tif"


def pages(count: int) -> Iterator[list[NewScan]]:
    for start in range(0, count, PAGE_SCANS):
        keys = [key_of(number) for number in range(start, start + PAGE_SCANS)]
        yield [NewScan(key, f"{hash(key):032x}", 40_000_000, f"{key}.jpg") for key in keys[: count - start]]


def submit(engine: Engine, count: int) -> int:
    """Insert scans as scheduler.submission.submitter does."""
    job_id = 0
    for page in pages(count):
        with session_scope(engine) as session:
            if not job_id:
                job_id = lifecycle.create(
                    session,
                    name="a million",
                    source="s3://scans/in",
                    destination="s3://scans/out",
                    options={"format": "jpeg", "quality": 95},
                    priority=0,
                    now=utc_now(),
                )
            lifecycle.add_scans(session, job_id, page, chunk_scans=64)
    with session_scope(engine) as session:
        lifecycle.start(session, job_id, other_count=0)
    return job_id


def work_half(engine: Engine, job_id: int) -> None:
    """Set half of the chunks to done, with some of their scans failed."""
    now = utc_now()
    half = "(SELECT (min(id) + max(id)) / 2 FROM chunk)"
    with session_scope(engine) as session:
        for statement in (
            f"UPDATE scan SET state = 'failed', error_code = 'truncated', error_message = 'it ends early', "
            f"finished_at = :now WHERE chunk_id < {half} AND id % {FAILED_EVERY} = 0",
            f"UPDATE scan SET state = 'done', output_sha256 = 'f', output_bytes = 1, finished_at = :now "
            f"WHERE chunk_id < {half} AND state = 'pending'",
            f"UPDATE chunk SET failed_count = (SELECT count(*) FROM scan WHERE chunk_id = chunk.id AND "
            f"scan.state = 'failed') WHERE id < {half}",
            f"UPDATE chunk SET state = 'done', done_count = scan_count - failed_count, recorded_at = :now "
            f"WHERE id < {half}",
        ):
            session.execute(text(statement), {"now": now} if ":now" in statement else {})
        workers.register(
            session, Worker(name="w", children=CHILDREN, started_at=now, heartbeat_at=now, device=None, checkpoint=None)
        )


def measure(engine: Engine, count: int, restart: Callable[[], object]) -> int:
    watch = Stopwatch(engine.dialect.name)
    watch.time(f"submit {count:,} scans", 180, lambda: submit(engine, count), tries=1)
    work_half(engine, 1)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))

    def reading(query: Callable[..., object]) -> Callable[[], object]:
        def read() -> object:
            with read_scope(engine) as session:
                return query(session)

        return read

    settings = Settings(queue_chunks_per_child=2)
    dispatcher = Dispatcher(engine, SilentQueue(), settings)  # type: ignore[arg-type]
    status = reading(lambda session: lifecycle.progress(session, 1))
    watch.time("status of the job", 0.1, status)
    watch.time("status, the database just started", 0.1, status, before=restart)
    watch.time(
        "its first 1,000 failures", 0.2, reading(lambda s: records.of_job(s, 1, state=ScanState.FAILED, limit=1000))
    )
    watch.time("its failures by code", 0.2, reading(lambda session: rows.problems_by_code(session, 1)))
    watch.time("a dispatcher's round that sends 128 chunks", 0.2, dispatcher.round, tries=1)
    watch.time("a dispatcher's round with nothing to send", 0.2, dispatcher.round)
    watch.time(
        "leases and finished jobs",
        0.2,
        lambda: (lease_expiry.expire(engine, chunk_attempts=3), lease_expiry.complete_jobs(engine)),
    )
    watch.time("pause", 5, lambda: change(engine, JobState.PAUSED), tries=1)
    watch.time("resume", 5, lambda: change(engine, JobState.RUNNING), tries=1)
    watch.time(f"retry {count // 2 // FAILED_EVERY:,} failed scans", 5, lambda: retry(engine), tries=1)
    watch.time("cancel", 5, lambda: change(engine, JobState.CANCELLED), tries=1)
    views.end_every_scan(engine)
    for what, query in views.questions():
        watch.time(what, views.limit_seconds(query), reading(partial(views.ask, query)))
    return watch.late


def change(engine: Engine, state: str) -> None:
    with session_scope(engine) as session:
        lifecycle.change_state(session, 1, state, now=utc_now())


def retry(engine: Engine) -> None:
    with session_scope(engine) as session:
        retries.retry_failed(session, 1, now=utc_now())


@contextmanager
def database(kind: str) -> Iterator[tuple[Engine, Callable[[], object]]]:
    """An empty database, and a function that empties its caches and those of its clients."""
    with service_folder() as folder:
        if kind == "sqlite":
            engine = make_engine(f"sqlite:///{folder / 'photochrom.db'}")
            yield engine, engine.dispose
            return
        with PostgreSQLServer(folder) as server:
            server.create_database("scale")
            engine = make_engine(server.url("scale"))

            def restart() -> None:
                engine.dispose()
                server.stop()
                server.start()

            yield engine, restart
            engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--scans", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], action="append")
    asked = parser.parse_args()
    late = 0
    for kind in asked.database or ["postgresql", "sqlite"]:
        with database(kind) as (engine, restart):
            upgrade(engine)
            late += measure(engine, asked.scans, restart)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
