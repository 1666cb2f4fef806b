"""Tallies, reviews, and the views that people query. docs/queries.md says what each column is.

A later revision that changes a view drops it and creates it again, because SQLite can't change a view.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)

IDLE_SECONDS = (
    300  # a longer time in which no scan of a job ended does not count as work: the job was paused, or no worker ran
)


def upgrade() -> None:
    op.add_column("chunk", sa.Column("started_at", Moment, nullable=True))
    op.add_column("scan", sa.Column("clipped_share", sa.Double(), nullable=True))
    op.add_column("scan", sa.Column("review_weight", sa.Double(), nullable=True))
    # The key comes first, because earlier results are looked up by key, over many jobs.
    op.drop_index("scan_output", "scan")
    op.create_index("scan_output", "scan", ["output_key", "job_id"], unique=True)
    op.create_index("scan_by_source_key", "scan", ["source_key"])
    to_review = sa.text("review_weight IS NOT NULL")
    op.create_index(
        "scan_to_review", "scan", ["job_id", "review_weight"], postgresql_where=to_review, sqlite_where=to_review
    )
    op.create_index(
        "scan_to_review_first", "scan", ["review_weight"], postgresql_where=to_review, sqlite_where=to_review
    )
    _create_tally()
    _create_review()
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(_fill_tally(sqlite))
    for name, query in _views(sqlite).items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def _create_tally() -> None:
    op.create_table(
        "tally",
        sa.Column("chunk_id", BigKey, nullable=False),
        sa.Column("hour", Moment, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("job_id", BigKey, nullable=False),
        sa.Column("done_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("skipped_count", sa.Integer(), nullable=False),
        sa.Column("pixels", sa.BigInteger(), nullable=False),
        sa.Column("source_bytes", sa.BigInteger(), nullable=False),
        sa.Column("first_at", Moment, nullable=False),
        sa.Column("last_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunk.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("chunk_id", "hour", "worker"),
    )
    op.create_index("tally_by_job", "tally", ["job_id", "hour"])
    op.create_index("tally_by_hour", "tally", ["hour"])


def _create_review() -> None:
    op.create_table(
        "review",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("scan_id", BigKey, nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        sa.Column("reviewed_at", Moment, nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("redo_job_id", BigKey, nullable=True),
        sa.CheckConstraint("verdict IN ('accepted', 'rejected', 'redone')", name="verdict_known"),
        sa.CheckConstraint("verdict = 'redone' OR redo_job_id IS NULL", name="only_redone_has_a_job"),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["redo_job_id"], ["job.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("review_by_scan", "review", ["scan_id", "id"])


def _fill_tally(sqlite: bool) -> str:
    """Fills the tallies from the scans that ended before this revision."""
    hour = "strftime('%Y-%m-%d %H:00:00.000000', finished_at)" if sqlite else "date_trunc('hour', finished_at, 'UTC')"
    return f"""
        INSERT INTO tally (chunk_id, hour, worker, job_id, done_count, failed_count, skipped_count, pixels,
                           source_bytes, first_at, last_at)
        SELECT chunk_id, {hour}, coalesce(worker, ''), job_id,
               count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed'),
               count(*) FILTER (WHERE state = 'skipped'),
               coalesce(sum(CAST(width AS bigint) * height) FILTER (WHERE state = 'done'), 0),
               coalesce(sum(source_bytes), 0), min(finished_at), max(finished_at)
        FROM scan
        WHERE state <> 'pending' AND finished_at IS NOT NULL
        GROUP BY chunk_id, {hour}, coalesce(worker, ''), job_id
    """


def _views(sqlite: bool) -> dict[str, str]:
    holder = "substr(worker, 1, instr(worker, '/') - 1)" if sqlite else "split_part(worker, '/', 1)"
    return {
        "job_progress": _job_progress(sqlite),
        "job_failures": """
            SELECT job.id AS job_id, job.name AS job_name, scan.error_code, count(*) AS scans,
                   min(scan.source_key) AS example_key, min(scan.error_message) AS example_message,
                   min(scan.finished_at) AS first_at, max(scan.finished_at) AS last_at
            FROM scan JOIN job ON job.id = scan.job_id
            WHERE scan.state = 'failed'
            GROUP BY job.id, job.name, scan.error_code
        """,
        "scan_history": """
            SELECT scan.id AS scan_id, scan.source_key, scan.output_key, scan.state, scan.error_code,
                   scan.error_message, job.id AS job_id, job.name AS job_name, job.source, job.destination,
                   job.created_at AS submitted_at, scan.finished_at, scan.attempts, scan.worker, scan.checkpoint,
                   scan.source_etag, scan.source_bytes, scan.source_sha256, scan.output_bytes, scan.output_sha256,
                   scan.width, scan.height, scan.bit_depth, scan.pages, scan.lost_metadata,
                   (coalesce(fetch_ms, 0) + coalesce(open_ms, 0) + coalesce(wait_ms, 0) + coalesce(predict_ms, 0)
                    + coalesce(compose_ms, 0) + coalesce(store_ms, 0)) / 1000 AS seconds,
                   scan.colourfulness, scan.certainty, scan.clipped_share,
                   review.verdict, review.reviewed_by, review.reviewed_at
            FROM scan
            JOIN job ON job.id = scan.job_id
            LEFT JOIN review ON review.id = (SELECT max(latest.id) FROM review AS latest
                                             WHERE latest.scan_id = scan.id)
        """,
        "throughput_by_hour": """
            SELECT hour, job_id, sum(done_count) AS done, sum(failed_count) AS failed, sum(skipped_count) AS skipped,
                   CAST(sum(pixels) AS double precision) / 1000000 AS megapixels,
                   CAST(sum(source_bytes) AS bigint) AS source_bytes, count(DISTINCT worker) AS workers
            FROM tally
            GROUP BY hour, job_id
        """,
        "worker_activity": f"""
            SELECT worker.name AS worker, worker.device, worker.checkpoint, worker.children, worker.started_at,
                   worker.heartbeat_at, worker.stopped_at, coalesce(held.chunks, 0) AS chunks_held,
                   coalesce(counted.done, 0) AS done, coalesce(counted.failed, 0) AS failed,
                   coalesce(counted.skipped, 0) AS skipped, coalesce(counted.megapixels, 0) AS megapixels,
                   counted.last_scan_at
            FROM worker
            LEFT JOIN (
                SELECT worker, sum(done_count) AS done, sum(failed_count) AS failed, sum(skipped_count) AS skipped,
                       CAST(sum(pixels) AS double precision) / 1000000 AS megapixels, max(last_at) AS last_scan_at
                FROM tally GROUP BY worker
            ) AS counted ON counted.worker = worker.name
            LEFT JOIN (
                SELECT {holder} AS worker, count(*) AS chunks FROM chunk WHERE state = 'leased' GROUP BY 1
            ) AS held ON held.worker = worker.name
        """,
        "review_queue": """
            SELECT id AS scan_id, job_id, source_key, output_key,
                   rtrim(CASE WHEN certainty < 0.3 THEN 'uncertain, ' ELSE '' END
                         || CASE WHEN colourfulness < 15 THEN 'nearly grey, ' ELSE '' END
                         || CASE WHEN clipped_share > 0.25 AND picture_width IS NULL THEN 'clipped, ' ELSE '' END
                         || CASE WHEN width > 3 * height OR height > 3 * width OR width < 200 OR height < 200
                                 THEN 'odd shape, ' ELSE '' END, ', ') AS reasons,
                   review_weight AS weight, certainty, colourfulness, clipped_share, width, height, checkpoint
            FROM scan
            WHERE review_weight IS NOT NULL
        """,
    }


def _job_progress(sqlite: bool) -> str:
    def seconds(earlier: str, later: str) -> str:
        if sqlite:
            return f"(julianday({later}) - julianday({earlier})) * 86400"
        return f"CAST(extract(epoch FROM {later} - {earlier}) AS double precision)"

    return f"""
        WITH counted AS (
            SELECT job_id, sum(done_count) AS done, sum(failed_count) AS failed, sum(skipped_count) AS skipped,
                   min(started_at) AS started_at, max(recorded_at) AS last_record_at
            FROM chunk GROUP BY job_id
        ), stretch AS (
            SELECT job_id, first_at, max(last_at) OVER (
                PARTITION BY job_id ORDER BY first_at, last_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before
            FROM tally
        ), idle AS (
            SELECT job_id, sum(CASE WHEN {seconds("before", "first_at")} > {IDLE_SECONDS}
                                    THEN {seconds("before", "first_at")} ELSE 0 END) AS seconds
            FROM stretch GROUP BY job_id
        ), measured AS (
            SELECT job_id, max(last_at) AS last_at, CAST(sum(pixels) AS double precision) / 1000000 AS megapixels,
                   CAST(sum(source_bytes) AS bigint) AS source_bytes
            FROM tally GROUP BY job_id
        ), busy AS (
            SELECT counted.job_id, {seconds("counted.started_at", "measured.last_at")} - idle.seconds AS seconds
            FROM counted JOIN measured ON measured.job_id = counted.job_id JOIN idle ON idle.job_id = counted.job_id
        )
        SELECT job.id AS job_id, job.name, job.source, job.destination, job.state, job.priority, job.created_at,
               counted.started_at, counted.last_record_at, job.finished_at, job.scan_count AS scans,
               coalesce(counted.done, 0) AS done, coalesce(counted.failed, 0) AS failed,
               coalesce(counted.skipped, 0) AS skipped,
               job.scan_count - coalesce(counted.done + counted.failed + counted.skipped, 0) AS pending,
               coalesce(measured.megapixels, 0) AS megapixels, coalesce(measured.source_bytes, 0) AS source_bytes,
               busy.seconds AS busy_seconds,
               CASE WHEN busy.seconds > 0 THEN (counted.done + counted.failed + counted.skipped) / busy.seconds END
                   AS scans_per_second
        FROM job
        LEFT JOIN counted ON counted.job_id = job.id
        LEFT JOIN measured ON measured.job_id = job.id
        LEFT JOIN busy ON busy.job_id = job.id
    """
