"""A process of simulated workers: everything that children do to the broker and the job database, without pixels.

The code is the workers' own: claim, read the pending scans, ask whether the chunk is still held, record in parts,
release, heartbeats. Children of many
workers share a few threads, because a scan's time on the device is left out. The measurement shows what load one
database takes.
"""

import base64
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from redis import Redis

from db.clock import database_now
from db.errors import DatabaseUnavailable, LeaseLost
from db.migrations import WorkerSupport
from db.models.jobs import Scan, ScanState
from db.models.pool import Worker
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.pool import workers
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import make_engine, question_scope, session_scope

LEASE_SECONDS = 120.0
CHILDREN = 8
RECORDS_OF_A_CHUNK = 2  # a chunk of 64 takes some 10 s of a child's time, and a record goes out every 5 s
STAGES = ("fetch_ms", "open_ms", "wait_ms", "predict_ms", "compose_ms", "store_ms")


@dataclass(frozen=True)
class Plan:
    """What one process simulates; times in seconds."""

    database_url: str
    broker_url: str
    queue: str
    names: tuple[str, ...]  # of its workers
    threads: int
    heartbeat_seconds: float


def simulate(plan: Plan, stop: Any, scans: Any, chunks: Any, waits: Any) -> None:
    """Simulate workers until the event `stop` is set. The shared values `scans` and `chunks` count what they have
    ended. At the end, the queue `waits` gets a list of the seconds for which a free child waited for each chunk.
    """
    waited: list[float] = []
    try:
        _simulate(plan, stop, scans, chunks, waited)
    finally:
        waits.put(waited)


def _simulate(plan: Plan, stop: Any, scans: Any, chunks: Any, waited: list[float]) -> None:
    engine = make_engine(plan.database_url)
    with session_scope(engine) as session:
        for name in plan.names:
            now = database_now(session)
            workers.register(session, Worker(name=name, children=CHILDREN, started_at=now, heartbeat_at=now))

    def children(number: int) -> None:
        """Act in this thread as one child after the other."""
        turn = number
        with Redis.from_url(plan.broker_url) as redis:
            free_since = time.monotonic()
            while not stop.is_set():
                message = _next_message(redis, plan.queue)
                if message is None:
                    continue
                waited.append(time.monotonic() - free_since)
                turn += plan.threads
                holder = f"{plan.names[turn % len(plan.names)]}/{turn % CHILDREN}"
                try:
                    count = _run_chunk(engine, message, holder)
                except (DatabaseUnavailable, LeaseLost):
                    continue
                finally:
                    free_since = time.monotonic()
                with scans.get_lock():
                    scans.value += count
                    chunks.value += 1

    def hearts() -> None:
        support = WorkerSupport(engine)
        while not stop.is_set():
            began = time.monotonic()
            for name in plan.names:
                statistics = {"scans_per_second": 1.0, **dict.fromkeys(STAGES, 1.0)}
                with session_scope(engine) as session:
                    support.check_again(session)
                    workers.beat(session, name, now=database_now(session), statistics=statistics)
            stop.wait(max(0.0, plan.heartbeat_seconds - (time.monotonic() - began)))

    threads = [threading.Thread(target=children, args=(number,)) for number in range(plan.threads)]
    threads.append(threading.Thread(target=hearts))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()


def _next_message(redis: "Redis", queue: str) -> ChunkMessage | None:
    """The next message, unpacked from kombu's form: the task's arguments in base64 in JSON."""
    entry: Any = redis.brpop([queue], timeout=1)
    if entry is None:
        return None
    body = json.loads(base64.b64decode(json.loads(entry[1])["body"]))
    return ChunkMessage(*body[0])


def _run_chunk(engine: Any, message: ChunkMessage, holder: str) -> int:
    """Returns how many scans were recorded; 0 if the chunk of the message can't be claimed."""
    with session_scope(engine) as session:
        now = database_now(session)
        claim = claims.claim(session, message, worker=holder, lease_seconds=LEASE_SECONDS, now=now)
    if claim is None:
        return 0
    pending = claim.scans
    part = -(-len(pending) // RECORDS_OF_A_CHUNK)
    for start in range(0, len(pending), part):
        with question_scope(engine) as session:  # as the fence does before an output is stored, once for each record
            leases.seconds_left(session, message)
        with session_scope(engine) as session:
            now = database_now(session)
            records = [_record(scan, holder, now) for scan in pending[start : start + part]]
            leases.record(session, message, records, lease_seconds=LEASE_SECONDS, now=now)
            if start + part >= len(pending):
                claims.release(session, message, not_before=None)
    return len(pending)


def _record(scan: Scan, holder: str, now: Any) -> ScanRecord:
    size = 40_000_000 + scan.id
    measured = ScanMeasurements(source_bytes=size, output_bytes=2 * size, width=6000 + scan.id % 9, height=4000)
    measured.bit_depth, measured.checkpoint = 16, "simulated"
    measured.source_sha256 = measured.output_sha256 = f"{scan.id:064x}"
    measured.colourfulness, measured.certainty = 20.0 + scan.id % 40, 0.6 + scan.id % 7 / 100
    measured.mean_a, measured.mean_b, measured.software = 6.0 + scan.id % 5, 14.0 + scan.id % 7, "simulated"
    for stage in STAGES:
        setattr(measured, stage, 12.5 + scan.id % 64)
    return ScanRecord(scan.id, ScanState.DONE, 1, measured, holder.partition("/")[0], now)
