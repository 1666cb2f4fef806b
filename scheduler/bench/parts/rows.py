"""Submitting, dispatching and recording scans, without pixels."""

import csv
import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine, inspect

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import ScanState
from db.models.pool import Worker
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.pool import workers
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import make_engine, read_scope, session_scope
from scheduler.bench.figures import Figure
from scheduler.bench.sizes import Bench
from scheduler.daemon.dispatcher import Dispatcher
from scheduler.submission.submitter import Submission, Submitter
from worker.errors import UsageError
from worker.observability.stages import Stage
from worker.settings.settings import Settings

_CHUNK_SCANS = 64
_SUBMIT_SECONDS = 20.0, 5.0  # for 100 000 scans: limit and goal
_RECORDED_CHUNKS = 400
_LEASE_SECONDS = 600.0


class CollectingQueue:
    """Collects what would be sent to the broker, because the broker is not measured here."""

    def __init__(self) -> None:
        self.messages: list[ChunkMessage] = []

    def publish(self, messages: Sequence[ChunkMessage]) -> None:
        self.messages += messages

    def depth(self) -> int:
        return len(self.messages)


def measure(bench: Bench) -> Iterator[Figure]:
    folder = bench.folder / "rows"
    (folder / "in").mkdir(parents=True)
    manifest = _write_manifest(folder / "manifest.csv", bench.sizes.rows)
    urls = {"SQLite": f"sqlite:///{(folder / 'photochrom.db').resolve()}"}
    if bench.postgresql_url:
        urls["PostgreSQL"] = bench.postgresql_url
    for database, url in urls.items():
        bench.say(f"rows: {database}")
        engine = make_engine(url)
        try:
            _expect_empty(engine)
            upgrade(engine)
            yield from _measure(bench, engine, database, folder, manifest)
        finally:
            engine.dispose()


def _expect_empty(engine: Engine) -> None:
    if tables := inspect(engine).get_table_names():
        raise UsageError(f"the bench's PostgreSQL database holds {len(tables)} tables already; expected an empty one")


def _write_manifest(path: Path, count: int) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["key", "etag", "bytes"])
        for number in range(count):
            key = f"collection/box-{number // 1000:05}/{number:09}.tif"
            rows.writerow([key, hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(), 40_000_000])
    return path


def _measure(bench: Bench, engine: Engine, database: str, folder: Path, manifest: Path) -> Iterator[Figure]:
    settings, count = bench.settings, bench.sizes.rows
    began, cpu = time.perf_counter(), time.process_time()
    submitter = Submitter(engine, s3=settings.s3_options, chunk_scans=_CHUNK_SCANS, checkpoints=lambda: [])
    submitter.submit(Submission(str(folder / "in"), str(folder / "out"), manifest=str(manifest)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    must, aim = (limit * count / 100_000 for limit in _SUBMIT_SECONDS)
    yield Figure(
        "rows", f"submit {count:,} scans from a manifest, {database}", seconds, "s", must=must, aim=aim,
        lower_is_better=True, detail=f"{count / seconds:,.0f} scans/s; {cpu:.1f} s of it this process' own",
    )  # fmt: skip
    queue = CollectingQueue()
    began = time.perf_counter()
    _dispatch(engine, settings, queue, chunk_count=-(-count // _CHUNK_SCANS))
    seconds = time.perf_counter() - began
    yield Figure("rows", f"dispatch, {database}", len(queue.messages) * _CHUNK_SCANS / seconds, "scans/s")
    messages = queue.messages[:_RECORDED_CHUNKS]
    began = time.perf_counter()
    recorded = sum(_record(engine, message) for message in messages)
    seconds = time.perf_counter() - began
    detail = "claim, read, record, release: four transactions a chunk, one writer"
    yield Figure("rows", f"record, {database}", recorded / seconds, "scans/s", detail=detail)


def _dispatch(engine: Engine, settings: Settings, queue: CollectingQueue, chunk_count: int) -> None:
    now = utc_now()
    with session_scope(engine) as session:
        worker = Worker(name="bench", children=32, started_at=now, heartbeat_at=now, device=None, checkpoint=None)
        workers.register(session, worker)
    while len(queue.messages) < chunk_count:
        before = len(queue.messages)
        Dispatcher(engine, queue, settings).round()  # type: ignore[arg-type]
        for message in queue.messages[before:]:
            _claim(engine, message)  # as children do, which makes room for more
        if len(queue.messages) == before:
            return


def _claim(engine: Engine, message: ChunkMessage) -> None:
    with session_scope(engine) as session:
        claims.claim(session, message, worker="bench/1", lease_seconds=_LEASE_SECONDS, now=utc_now())


def _record(engine: Engine, message: ChunkMessage) -> int:
    """Change the rows of one chunk as a child does after its claim."""
    now = utc_now()
    with read_scope(engine) as session:
        scans = claims.pending_scans(session, message.chunk_id)
    measured = ScanMeasurements(source_bytes=1, source_sha256="0" * 64, output_bytes=1, output_sha256="0" * 64)
    for name in ("width", "height", "bit_depth", "pages", *(stage.column for stage in Stage)):
        setattr(measured, name, 1)
    measured.checkpoint = "bench"
    records = [ScanRecord(scan.id, ScanState.DONE, 1, measured, "bench/1", now) for scan in scans]
    with session_scope(engine) as session:
        leases.record(session, message, records, lease_seconds=_LEASE_SECONDS, now=now)
    with session_scope(engine) as session:
        claims.release(session, message, not_before=None)
    return len(records)
