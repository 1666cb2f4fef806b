"""job_progress: the pace counts the scans that workers ended, and not those that failed while the source was listed."""

from alembic import op

revision = "0018"
down_revision = "0017"

IDLE_SECONDS = 300  # a longer time in which no scan of a job ended does not count as work


def upgrade() -> None:
    op.execute("DROP VIEW job_progress")
    op.execute(f"CREATE VIEW job_progress AS {_job_progress(op.get_bind().dialect.name == 'sqlite')}")


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
                   CAST(sum(source_bytes) AS bigint) AS source_bytes,
                   sum(done_count + failed_count + skipped_count) AS ended
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
               CASE WHEN busy.seconds > 0 THEN measured.ended / busy.seconds END AS scans_per_second
        FROM job
        LEFT JOIN counted ON counted.job_id = job.id
        LEFT JOIN measured ON measured.job_id = job.id
        LEFT JOIN busy ON busy.job_id = job.id
    """
