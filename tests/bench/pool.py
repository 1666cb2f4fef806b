"""`make pool`: what load one PostgreSQL takes from a thousand simulated workers. docs/scale.md has the figures.

The scheduler's rounds, the broker and the database are real, with fsync and synchronous_commit on. Only the scans'
pixels are left out. Prints one line for each figure.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr
from sqlalchemy import Engine, text

from db.clock import database_now
from db.migrations import upgrade
from db.queries.jobs import lifecycle
from db.session import make_engine, read_scope, session_scope
from scheduler.cli.commands.jobs.status import read_jobs
from scheduler.daemon import lease_expiry
from scheduler.daemon.dispatcher import Dispatcher
from scheduler.rows import job_row
from scheduler.standalone.services import ValkeyServer
from tests.acceptance.command import photochrom
from tests.bench.scale import submit
from tests.bench.simulated_workers import CHILDREN, Plan, simulate
from tests.conftest import service_folder
from tests.pgbouncer import PgBouncer
from tests.services import PostgreSQLServer
from worker.broker.app_factory import make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.settings.settings import Settings

SERVER = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
STATEMENTS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
QUEUE = "pool"
_COUNTERS = """
    SELECT pg_current_wal_lsn() - '0/0' AS wal_bytes,
           (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()) AS transactions
"""
_NOW = """
    SELECT count(*) AS connections, count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
# A wait for a row is shown as a wait for the transaction that holds the row. The other waits name their table.
_LOCK_WAITS = """
    SELECT locktype, mode, coalesce(relation::regclass::text, '') AS relation, count(*) AS waiting
    FROM pg_locks WHERE NOT granted GROUP BY 1, 2, 3
"""
_HOT_ROWS = """
    SELECT relname, n_dead_tup, greatest(n_live_tup, 1000) AS rows, pg_table_size(relid) AS bytes,
           n_tup_upd AS updates, n_tup_hot_upd AS hot
    FROM pg_stat_user_tables WHERE relname IN ('worker', 'chunk', 'job', 'tally')
"""
# The most bytes that a table may take for each of its rows, dead rows included; a smaller table counts as a thousand
# rows. A row alone takes 100 to 200.
MOST_BYTES_OF_A_ROW = {"worker": 4_000, "chunk": 1_000, "tally": 500}


_DEAREST = """
    SELECT calls, total_plan_time + total_exec_time AS ms, total_plan_time AS plan_ms,
           regexp_replace(query, '\\s+', ' ', 'g')
    FROM pg_stat_statements ORDER BY 2 DESC LIMIT 25
"""


def p95(seconds: list[float]) -> float:
    """The 95th percentile in milliseconds; NaN if there are no values."""
    return sorted(seconds)[int(len(seconds) * 0.95)] * 1000 if seconds else float("nan")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ask(engine: Engine, query: str) -> Any:
    with read_scope(engine) as session:
        return session.execute(text(query)).one()


class Measurement:
    """The scheduler's rounds, a person's `status`, and looks at the server, while workers work."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._dispatcher = Dispatcher(engine, ChunkQueue(make_app(settings)), settings)
        self._seconds, self._silent_seconds = settings.scheduler_round_seconds, settings.silent_seconds
        self.rounds: list[float] = []
        self.statuses: list[float] = []
        self.connections: list[int] = []
        self.waiting: list[int] = []
        self.lock_waits: Counter[tuple[str, str, str]] = Counter()

    def round(self) -> None:
        lease_expiry.expire(self._engine, chunk_attempts=3)
        lease_expiry.complete_jobs(self._engine)
        self._dispatcher.round()

    def status(self) -> None:
        """What `photochrom status 1 --json` asks the database and prints."""
        jobs, hints, _ = read_jobs(self._engine, 1, silent_seconds=self._silent_seconds)
        json.dumps([job_row(progress, hints) for progress in jobs], default=str)

    def run(self, seconds: float) -> None:
        """Make rounds as often as the scheduler does; every second, ask for the `status` and look at the server."""
        with ThreadPoolExecutor(2) as pool:
            looking = pool.submit(self._every, seconds, self._look, 1.0)
            asking = pool.submit(self._every, seconds, self._ask, 1.0)
            self._every(seconds, lambda: self.rounds.append(timed(self.round)), self._seconds)
            looking.result()
            asking.result()

    def _ask(self) -> None:
        self.statuses.append(timed(self.status))

    def _look(self) -> None:
        now = ask(self._engine, _NOW)
        self.connections.append(now.connections)
        self.waiting.append(now.waiting)
        with read_scope(self._engine) as session:
            for kind, mode, relation, count in session.execute(text(_LOCK_WAITS)):
                self.lock_waits[kind, mode, relation] += count

    def _every(self, seconds: float, work: Callable[[], object], pause: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            work()
            time.sleep(pause)


@contextmanager
def workers_at_work(plans: list[Plan]) -> Iterator[tuple[Any, Any, list[float]]]:
    """(scans, chunks) that the simulated workers have ended, as shared values, and a list. After the block, it has the
    seconds for which a free child waited for each chunk.
    """
    context = multiprocessing.get_context("spawn")
    stop, scans, chunks = context.Event(), context.Value("q", 0), context.Value("q", 0)
    waits, waited = context.SimpleQueue(), list[float]()
    processes = [context.Process(target=simulate, args=(plan, stop, scans, chunks, waits)) for plan in plans]
    for process in processes:
        process.start()
    try:
        yield scans, chunks, waited
    finally:
        stop.set()
        for _ in processes:
            waited += waits.get()  # before the end of the processes, which wait until it is read
        for process in processes:
            process.join()


def simulated() -> list[psutil.Process]:
    """The processes that simulate workers."""
    pids = [process.pid for process in multiprocessing.active_children()]
    return [psutil.Process(pid) for pid in pids if pid is not None]


def plans_of(asked: argparse.Namespace, database_url: str, broker_url: str) -> list[Plan]:
    names = [f"simulated-{number:04}" for number in range(asked.workers)]
    groups = [tuple(names[number :: asked.processes]) for number in range(asked.processes)]
    return [Plan(database_url, broker_url, QUEUE, group, asked.threads, 5.0) for group in groups]


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """The processor time of these processes and of the child processes that they have waited for."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def server_processes(engine: Engine) -> list[psutil.Process]:
    """All processes of PostgreSQL: the parent of the one that answers, and the parent's descendants."""
    with read_scope(engine) as session:
        parent = psutil.Process(session.scalar(text("SELECT pg_backend_pid()")) or 0).parent()
    assert parent is not None
    return [parent, *parent.children()]


def bloated_tables(engine: Engine) -> list[str]:
    """Print how large the tables of hot rows are, and return those that are larger than they may be."""
    bloated = []
    with read_scope(engine) as session:
        for row in session.execute(text(_HOT_ROWS)):
            each = row.bytes / row.rows
            share = row.hot / max(1, row.updates)
            print(
                f"{row.relname}: {row.rows:,} rows and {row.n_dead_tup:,} dead, {each:,.0f} bytes of the table for a "
                f"row; {share:.0%} of its updates change no index"
            )
            if each > MOST_BYTES_OF_A_ROW.get(row.relname, each):
                most = MOST_BYTES_OF_A_ROW[row.relname]
                bloated.append(f"{row.relname} takes {each:,.0f} bytes a row; expected {most:,} at most")
    return bloated


def measure(asked: argparse.Namespace, engine: Engine, plans: list[Plan], broker_url: str) -> list[str]:
    """Print the figures; returns what is wrong with the tables' size."""
    settings = Settings(broker_url=SecretStr(broker_url), queue=QUEUE, queue_chunks_per_child=2)
    measurement = Measurement(engine, settings)
    with workers_at_work(plans) as (scans, chunks, waited):
        while scans.value == 0:
            measurement.round()
            time.sleep(0.2)
        if asked.statements:
            ask(engine, "SELECT pg_stat_statements_reset()")
        before, counted, began = ask(engine, _COUNTERS), scans.value, time.monotonic()
        server, workers = processor_seconds(server_processes(engine)), processor_seconds(simulated())
        measurement.run(asked.seconds)
        seconds, done = time.monotonic() - began, scans.value - counted
        after = ask(engine, _COUNTERS)
        server = processor_seconds(server_processes(engine)) - server
        workers = processor_seconds(simulated()) - workers
        command = timed(lambda: status_command(engine))
        pause = timed(lambda: pause_first(engine))
    if asked.statements:
        print_statements(engine, done)
    print(f"scans recorded: {done / seconds:,.0f} a second ({done:,} in {seconds:.0f} s, {chunks.value:,} chunks)")
    print(
        f"processor time a scan: {server / done * 1000:.3f} ms of PostgreSQL, {workers / done * 1000:.3f} ms of workers"
    )
    print(f"so one core of PostgreSQL records {done / server:,.0f} scans a second" if server else "")
    print(f"transactions a scan: {(after.transactions - before.transactions) / done:.3f}")
    print(f"WAL a scan: {int(after.wal_bytes - before.wal_bytes) / done:,.0f} bytes")
    print(f"connections at the server: {max(measurement.connections)}")
    print(f"waiting for a lock, on average: {statistics.mean(measurement.waiting):.2f}")
    print(f"a round: p95 {p95(measurement.rounds):,.0f} ms of {len(measurement.rounds)}")
    print(
        f"status: p95 {p95(measurement.statuses):,.0f} ms of {len(measurement.statuses)}, once as a command with "
        f"Python's start {command * 1000:,.0f} ms; pause: {pause * 1000:,.0f} ms"
    )
    print(f"dispatch lag, a free child's wait for a chunk: p95 {p95(waited):,.0f} ms of {len(waited):,}")
    for (kind, mode, relation), count in measurement.lock_waits.most_common():
        print(f"waits seen in pg_locks: {count} for {kind} {mode} {relation}")
    return bloated_tables(engine)


def print_statements(engine: Engine, scans: int) -> None:
    """The statements that took PostgreSQL most of its time, with the microseconds that they took for a scan."""
    with read_scope(engine) as session:
        for calls, ms, plan_ms, query in session.execute(text(_DEAREST)):
            print(f"{ms / scans * 1000:8.1f} us ({plan_ms / scans * 1000:.1f} planned), {calls:,} calls: {query[:200]}")


def status_command(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    ran = photochrom("status", "1", "--json", folder=Path.cwd(), PHOTOCHROM_DATABASE_URL=url)
    assert ran.returncode == 0, ran.stderr


def pause_first(engine: Engine) -> None:
    with session_scope(engine) as session:
        lifecycle.change_state(session, 1, "paused", now=database_now(session))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pool", description=__doc__)
    parser.add_argument("--workers", type=int, default=1000, help=f"simulated, of {CHILDREN} children each")
    parser.add_argument("--scans", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--processes", type=int, default=2, help="that simulate the workers")
    parser.add_argument("--threads", type=int, default=8, help="of each")
    parser.add_argument("--statements", action="store_true", help="print which statements took PostgreSQL most time")
    parser.add_argument("--pgbouncer", action="store_true", help="the workers go through PgBouncer")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folders = [stack.enter_context(service_folder()) for _ in range(3)]
        valkey = stack.enter_context(ValkeyServer(folders[0]))
        settings = {**SERVER, **(STATEMENTS if asked.statements else {})}
        server = stack.enter_context(PostgreSQLServer(folders[1], **settings))
        server.create_database("pool")
        engine = make_engine(server.url("pool"))
        stack.callback(engine.dispose)
        upgrade(engine)
        if asked.statements:
            server.run("CREATE EXTENSION pg_stat_statements", "pool")
        seconds = timed(lambda: submit(engine, asked.scans))
        print(f"submitted {asked.scans:,} scans in {seconds:,.0f} s", flush=True)
        url = server.url("pool")
        if asked.pgbouncer:
            url = stack.enter_context(PgBouncer(folders[2], server, connections=20)).url("pool")
        bloated = measure(asked, engine, plans_of(asked, url, valkey.url), valkey.url)
    print("\n".join(bloated))
    return 1 if bloated else 0


if __name__ == "__main__":
    sys.exit(main())
