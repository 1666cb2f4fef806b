"""The views over a million scans that have all ended: each question of docs/queries.md, and whole views."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from db.models.jobs import Chunk
from db.models.pool import Worker
from db.queries.chunks import tallies
from db.queries.pool import workers
from db.session import read_scope, session_scope

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
CHUNK_SECONDS = 30  # from one chunk's record to the next one's: 16,000 chunks take five days
WORKERS = 8

# Views with few rows are read completely, of the others one page.
WHOLE = ("job_progress", "job_failures", "throughput_by_hour", "worker_activity")
PAGES = {
    "scan_history": "WHERE job_id = 1 ORDER BY scan_id LIMIT 1000",
    "review_queue": "ORDER BY weight DESC LIMIT 1000",
}

LIMIT_SECONDS = 0.3
SORTING_LIMIT_SECONDS = 30  # of a view that sorts all scans of its job; about 12 s were measured


def limit_seconds(query: str) -> float:
    """The time that the query may take over a million scans."""
    return SORTING_LIMIT_SECONDS if "folder_outliers" in query else LIMIT_SECONDS


def end_every_scan(engine: Engine) -> None:
    """End every scan: some fail, and a seventh of the outputs is nearly grey. Then count the scans in the tallies."""
    sqlite = engine.dialect.name == "sqlite"
    began = "'2026-03-01 00:00:00.000000'" if sqlite else "timestamptz '2026-03-01 00:00:00Z'"
    later = (
        f"strftime('%Y-%m-%d %H:%M:%S.000000', {began}, '+' || (chunk_id * {CHUNK_SECONDS}) || ' seconds')"
        if sqlite
        else f"{began} + chunk_id * interval '{CHUNK_SECONDS} seconds'"
    )
    with session_scope(engine) as session:
        session.execute(
            text(
                f"UPDATE scan SET state = CASE WHEN id % 200 = 0 THEN 'failed' ELSE 'done' END, error_code = CASE WHEN "
                f"id % 200 = 0 THEN 'truncated' END, output_sha256 = 'f', output_bytes = 1, finished_at = {later}, "
                f"worker = 'worker-' || (chunk_id % {WORKERS}), width = 4000, height = 3000, checkpoint = 'first', "
                "colourfulness = id % 100, review_weight = CASE WHEN id % 100 < 15 THEN 1 - (id % 100) / 15.0 END"
            )
        )
        for number in range(WORKERS):
            workers.register(session, Worker(name=f"worker-{number}", children=8, started_at=BEGAN, heartbeat_at=BEGAN))
    _count(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if sqlite else "VACUUM ANALYZE"))


def _count(engine: Engine) -> None:
    with read_scope(engine) as session:
        ids = session.scalars(select(Chunk.id).order_by(Chunk.id)).all()
    for start in range(0, len(ids), 1000):
        with session_scope(engine) as session:
            tallies.count(session, ids[start : start + 1000], is_retry=False)
    with session_scope(engine) as session:
        session.execute(
            text(
                "UPDATE chunk SET state = 'done', lease_expires_at = NULL, worker = NULL, queued_at = NULL, "
                "failed_count = coalesce((SELECT sum(failed_count) FROM tally WHERE chunk_id = chunk.id), 0), "
                "done_count = coalesce((SELECT sum(done_count) FROM tally WHERE chunk_id = chunk.id), 0), "
                "skipped_count = 0, started_at = (SELECT min(first_at) FROM tally WHERE chunk_id = chunk.id)"
            )
        )


def questions() -> Iterator[tuple[str, str]]:
    """(title, SQL): views as a whole, a page of others, and then each query in docs/queries.md."""
    for view in WHOLE:
        yield f"all of {view}", f"SELECT * FROM {view}"
    for view, page in PAGES.items():
        yield f"a page of {view}", f"SELECT * FROM {view} {page}"
    text_of_page = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
    for asked, query in re.findall(r"^([^\n`]+\?[^\n]*)\n\n```sql\n(.*?)```", text_of_page, re.M | re.S):
        yield asked[:42], query.replace("box 1/0012.tif", "collection/box-00000/000000012.tif")


def ask(query: str, session: Session) -> int:
    return len(session.execute(text(query)).all())
