"""The scheduler's round with a million chunks in the database, nine of ten of them done; and then a pause of their job.

python -m tests.bench.rounds --chunks 1000000
"""

import argparse
import time
from collections.abc import Callable

from sqlalchemy import Engine, text

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import JobState
from db.models.pool import Worker
from db.queries.jobs import lifecycle
from db.queries.pool import workers
from db.session import make_engine, session_scope
from scheduler.daemon import lease_expiry
from scheduler.daemon.dispatcher import Dispatcher
from tests.bench.scale import CHILDREN, SilentQueue
from tests.conftest import service_folder
from tests.rows import make_job
from tests.services import PostgreSQLServer
from worker.settings.settings import Settings

TRIES = 7
_CHUNKS = """
    INSERT INTO chunk (job_id, state, attempt, lost_leases, killed_children, scan_count, done_count, failed_count,
                       skipped_count)
    SELECT :job, CASE WHEN number % 10 = 0 THEN 'pending' ELSE 'done' END, 1, 0, 0, 64,
           CASE WHEN number % 10 = 0 THEN 0 ELSE 64 END, 0, 0
    FROM generate_series(1, :count) AS number
"""


def fill(engine: Engine, count: int) -> int:
    job_id, now = make_job(engine, scan_count=1), utc_now()
    with session_scope(engine) as session:
        session.execute(text(_CHUNKS), {"job": job_id, "count": count})
        session.execute(text("UPDATE job SET max_failures = 1000000"))
        workers.register(session, Worker(name="w", children=CHILDREN, started_at=now, heartbeat_at=now))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE chunk"))
    return job_id


def report(what: str, work: Callable[[], object], tries: int = TRIES) -> None:
    """Print the median and the longest time of the tries, in milliseconds. The first try has a cold cache."""
    taken = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    print(f"{what:12} median {sorted(taken)[len(taken) // 2]:6.1f} ms, most {max(taken):6.1f} ms")


def pause(engine: Engine, job_id: int) -> None:
    with session_scope(engine) as session:
        lifecycle.change_state(session, job_id, JobState.PAUSED, now=utc_now())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rounds", description=__doc__)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    asked = parser.parse_args()
    with service_folder() as folder, PostgreSQLServer(folder) as server:
        server.create_database("rounds")
        engine = make_engine(server.url("rounds"))
        upgrade(engine)
        job_id = fill(engine, asked.chunks)
        dispatcher = Dispatcher(engine, SilentQueue(), Settings(queue_chunks_per_child=2))  # type: ignore[arg-type]
        report("dispatch", dispatcher.round)
        report("expire", lambda: lease_expiry.expire(engine, chunk_attempts=3))
        report("complete", lambda: lease_expiry.complete_jobs(engine))
        report("pause", lambda: pause(engine, job_id), tries=1)
        engine.dispose()


if __name__ == "__main__":
    main()
