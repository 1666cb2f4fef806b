"""Archive a million of ten million scans on PostgreSQL while a pool records, and measure how long a record takes.

Several processes record at a steady pace, as workers do. The times of their records are compared with the times just
before the archiving. Prints the time that the archiving takes, the bytes of a row in the files, and the bytes of an
archived scan that stay in the database.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from sqlalchemy import Engine, text

from db.clock import utc_now
from db.migrations import upgrade
from db.models.jobs import JobState, ScanState
from db.queries.chunks import claims, dispatch
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from db.session import make_engine, session_scope
from scheduler.access.actor import Actor
from scheduler.archive.archiver import Archived, Archiver
from scheduler.archive.deletion import Pace
from tests.conftest import service_folder
from tests.services import PostgreSQLServer
from worker.storage import S3Options

CHUNK = 64
_JOB = """
    INSERT INTO job (name, source, destination, options, priority, state, scan_count, other_count, listing_attempt,
                     created_at, finished_at)
    VALUES ('a million', :source, :destination, '{"format": "jpeg"}', 0, CAST(:state AS text), :count, 0, 0, now(),
            CASE WHEN CAST(:state AS text) = 'completed' THEN now() END)
    RETURNING id
"""
_CHUNKS = """
    INSERT INTO chunk (job_id, state, attempt, lost_leases, killed_children, scan_count, done_count, failed_count,
                       skipped_count)
    SELECT :job, CAST(:state AS text), 1, 0, 0, 64, CASE WHEN CAST(:state AS text) = 'done' THEN 64 ELSE 0 END, 0, 0
    FROM generate_series(1, :chunks)
    RETURNING id
"""
# Every column is filled as by a real job, with values as random as measurements are.
_SCANS = """
    INSERT INTO scan (job_id, chunk_id, state, attempts, source_key, source_etag, source_bytes, source_sha256,
                      output_key, output_bytes, output_sha256, width, height, bit_depth, checkpoint, head, embedding,
                      saturation, precision, input_px, worker, fetch_ms, open_ms, wait_ms, predict_ms, compose_ms,
                      store_ms, colourfulness, mean_a, mean_b, certainty, clipped_share, software, finished_at)
    SELECT CAST(:job AS bigint), CAST(:first_chunk AS bigint) + number / 64, CAST(:state AS text), 1, key, md5(key),
           4e7 * exp(0.2 * random_normal()),
           CASE WHEN CAST(:ended AS boolean) THEN encode(sha256(key::bytea), 'hex') END,
           key || '.jpg', CASE WHEN CAST(:ended AS boolean) THEN (3e6 * exp(0.3 * random_normal()))::bigint END,
           CASE WHEN CAST(:ended AS boolean) THEN encode(sha256((key || 'o')::bytea), 'hex') END,
           4000 + 60 * random_normal(), 3000 + 60 * random_normal(), 8,
           '75a72e5a7516', 'vivid', 'inception_resnet_v2', 1.0, 'bfloat16', 224,
           'machine-' || (number / 64) % 8 || '/' || number % 16,
           80 * exp(0.4 * random_normal()), 60 * exp(0.2 * random_normal()), 30 * exp(0.8 * random_normal()),
           120 + (number / 8) % 50, 150 * exp(0.2 * random_normal()), 90 * exp(0.5 * random_normal()),
           25 * exp(0.3 * random_normal()), 6 + 3 * random_normal(), 14 + 4 * random_normal(),
           least(0.999, 0.7 + 0.15 * random_normal()), abs(0.01 * random_normal()), 'Photochrom 0.1.0',
           CASE WHEN CAST(:ended AS boolean) THEN
               now() - interval '2 years' + number / 64 * interval '4 seconds' + random() * interval '4 seconds' END
    FROM (SELECT number, 'job-' || CAST(:job AS bigint) || '/box-' || lpad((number / 1000)::text, 5, '0') || '/'
                 || lpad(number::text, 9, '0') || '.tif' AS key
          FROM generate_series(0, :count - 1) AS number) AS numbered
"""
_CLAIMS = """
    INSERT INTO output_claim (uri, source_hash, job_id)
    SELECT CAST(:destination AS text) || '/' || output_key, id, job_id FROM scan WHERE job_id = :job
"""


def fill(engine: Engine, count: int, destination: str, *, state: str) -> int:
    """Insert a job of `count` scans, which have all ended or are all pending, as rows without files."""
    ended = state == JobState.COMPLETED
    with session_scope(engine) as session:
        values = {
            "source": f"s3://scans/{utc_now():%H%M%S%f}",
            "destination": destination,
            "state": state,
            "count": count,
        }
        job_id = int(session.execute(text(_JOB), values).scalar_one())
        chunks = {"job": job_id, "state": "done" if ended else "pending", "chunks": count // CHUNK}
        first = min(session.scalars(text(_CHUNKS), chunks))
        scans = {"job": job_id, "first_chunk": first, "count": count // CHUNK * CHUNK, "ended": ended}
        scans["state"] = ScanState.DONE if ended else ScanState.PENDING
        session.execute(text(_SCANS), scans)
        session.execute(text(_CLAIMS), {"destination": destination, "job": job_id})
    return job_id


def record_for_ever(
    url: str, job_id: int, per_second: float, until: float, times: "multiprocessing.Queue[object]"
) -> None:
    """Claim chunks and record the scans of each in four parts, as a child does.

    At the end, puts a list into `times`: when each record began, and how many seconds it took.
    """
    engine, taken = make_engine(url), list[tuple[float, float]]()
    next_at = time.monotonic()
    while time.monotonic() < until:
        with session_scope(engine) as session:
            [message] = dispatch.take_for_dispatch(session, job_id, 1, now=utc_now())
            claims.claim(session, message, worker=f"w/{os.getpid()}", lease_seconds=600, now=utc_now())
            scans = claims.pending_scans(session, message.chunk_id)
        for start in range(0, len(scans), 16):
            next_at += 16 / per_second
            time.sleep(max(0.0, next_at - time.monotonic()))
            records = [_record(scan.id) for scan in scans[start : start + 16]]
            began = time.monotonic()
            with session_scope(engine) as session:
                leases.record(session, message, records, lease_seconds=600, now=utc_now())
            taken.append((began, time.monotonic() - began))
        with session_scope(engine) as session:
            claims.release(session, message, not_before=None)
    times.put(taken)


def _record(scan_id: int) -> ScanRecord:
    measured = ScanMeasurements(
        output_sha256=f"{scan_id:064x}", output_bytes=1, width=4000, height=3000, colourfulness=30.0
    )
    return ScanRecord(scan_id, ScanState.DONE, 1, measured, "w", utc_now())


def p95(taken: Sequence[tuple[float, float]], begin: float, end: float) -> tuple[float, float, int]:
    """The median and the 95th percentile in milliseconds, and the number of values."""
    times = [seconds * 1000 for at, seconds in taken if begin <= at < end]
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[94], len(times)


def sizes(engine: Engine, *tables: str) -> int:
    with engine.connect() as connection:
        return sum(
            connection.execute(text(f"SELECT pg_total_relation_size('{table}')")).scalar_one() for table in tables
        )


def archive(engine: Engine, job_id: int, rest: float) -> tuple[Archived, float]:
    began = time.monotonic()
    pace = Pace(rest=rest)
    archived = Archiver(engine, s3=S3Options(), actor=Actor("bench"), pace=pace).archive(job_id)
    return archived, time.monotonic() - began


def measure(server: PostgreSQLServer, folder: Path, arguments: argparse.Namespace) -> None:
    engine = make_engine(server.url("archive"))
    upgrade(engine)
    began = time.monotonic()
    (folder / "old").mkdir()
    old = fill(engine, arguments.archived, str(folder / "old"), state=JobState.COMPLETED)
    before = sizes(engine, "scan")
    print(f"{before / arguments.archived:.0f} bytes of a scan in the database", flush=True)
    for number in range((arguments.scans - arguments.archived) // arguments.archived):
        fill(engine, arguments.archived, f"s3://colour/{number}", state=JobState.COMPLETED)
    live = fill(engine, arguments.live, "s3://colour/live", state=JobState.RUNNING)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    print(f"{arguments.scans:,} scans made in {time.monotonic() - began:.0f} s", flush=True)
    times: multiprocessing.Queue[object] = multiprocessing.get_context("spawn").Queue()
    begin = time.monotonic() + 5
    ends = begin + arguments.seconds + arguments.longest
    pool = [
        multiprocessing.get_context("spawn").Process(
            target=record_for_ever,
            args=(server.url("archive"), live, arguments.per_second / arguments.workers, ends, times),
        )
        for _ in range(arguments.workers)
    ]
    for process in pool:
        process.start()
    time.sleep(5 + arguments.seconds)
    archived, seconds = archive(engine, old, arguments.rest)
    end = time.monotonic()
    show(arguments, archived, seconds)
    print(f"{sizes(engine, 'archived_scan') / archived.scans:.0f} bytes of an archived scan stay in the database")
    taken = [pair for _ in pool for pair in times.get()]  # type: ignore[attr-defined]
    for process in pool:
        process.join()
    quiet, busy = p95(taken, begin, begin + arguments.seconds), p95(taken, begin + arguments.seconds, min(end, ends))
    for words, (median, slow, count) in (("before", quiet), ("meanwhile", busy)):
        print(f"a record of 16 scans {words:10} median {median:.2f} ms, p95 {slow:.2f} ms, of {count:,}")
    print(f"p95 {100 * (busy[1] / quiet[1] - 1):+.1f} %")
    engine.dispose()


def show(arguments: argparse.Namespace, archived: Archived, seconds: float) -> None:
    print(f"{archived.scans:,} of {arguments.scans:,} scans archived in {seconds:.0f} s")
    print(
        f"{archived.bytes / archived.scans:.1f} bytes of file a scan, "
        f"{archived.sources_bytes / archived.scans:.1f} of sources' hashes beside it"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.archive", description=__doc__)
    parser.add_argument("--scans", type=int, default=10_000_000)
    parser.add_argument("--archived", type=int, default=1_000_000)
    parser.add_argument("--live", type=int, default=200_000, help="scans that the pool has to record")
    parser.add_argument("--per-second", type=float, default=200.0, help="scans that the pool records")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="before the archiving begins")
    parser.add_argument("--longest", type=float, default=240.0, help="so long the pool goes on after that")
    parser.add_argument("--rest", type=float, default=2.0)
    arguments = parser.parse_args()
    with (
        service_folder() as folder,
        tempfile.TemporaryDirectory(prefix="photochrom-bench-") as files,
        PostgreSQLServer(folder, shared_buffers="512MB", max_wal_size="8GB") as server,
    ):
        server.create_database("archive")
        measure(server, Path(files), arguments)


if __name__ == "__main__":
    main()
