"""Archived jobs: how far their archiving is, what stays known of their scans, and views that show it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
KeyText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")

_JOB_FAILURES = """
    CREATE VIEW job_failures AS
    SELECT job.id AS job_id, job.name AS job_name, failure.error_code, count(*) AS scans,
           min(failure.source_key) AS example_key, min(failure.error_message) AS example_message,
           min(failure.finished_at) AS first_at, max(failure.finished_at) AS last_at
    FROM (
        SELECT job_id, error_code, source_key, error_message, finished_at FROM scan WHERE state = 'failed'
        UNION ALL
        SELECT job_id, error_code, source_key, error_message, finished_at FROM archived_scan WHERE state = 'failed'
    ) AS failure
    JOIN job ON job.id = failure.job_id
    GROUP BY job.id, job.name, failure.error_code
"""
# This is a view beside scan_history and not a part of it, because a whole union must be sorted for each page.
_SCAN_JOBS = """
    CREATE VIEW scan_jobs AS
    SELECT one.source_key, one.output_key, one.state, one.error_code, one.error_message, one.job_id,
           job.name AS job_name, job.source, job.destination, job.created_at AS submitted_at, one.finished_at,
           one.checkpoint, one.verdict,
           CASE WHEN one.is_archived = 1 THEN job.destination || '/' || job.archive_key END AS archive
    FROM (
        SELECT source_key, output_key, state, error_code, error_message, job_id, finished_at, checkpoint, verdict,
               0 AS is_archived
        FROM scan
        UNION ALL
        SELECT source_key, coalesce(other_output_key, source_key), state, error_code, error_message, job_id,
               finished_at, checkpoint, verdict, 1
        FROM archived_scan
    ) AS one
    JOIN job ON job.id = one.job_id
"""


def upgrade() -> None:
    op.add_column("job", sa.Column("archive_key", sa.Text(), nullable=True))
    op.create_table(
        "job_archive",
        sa.Column("job_id", BigKey, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("begun_at", Moment, nullable=False),
        sa.Column("touched_at", Moment, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("sources_key", sa.Text(), nullable=True),
        sa.Column("sources_sha256", sa.String(length=64), nullable=True),
        sa.Column("scan_count", sa.BigInteger(), nullable=True),
        sa.Column("last_chunk_id", sa.BigInteger(), nullable=False),
        sa.Column("moved_count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('writing', 'stored', 'done', 'deleting')", name="state_known"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )
    _create_archived_scan()
    op.execute("DROP VIEW job_failures")
    op.execute(_JOB_FAILURES)
    op.execute(_SCAN_JOBS)


def _create_archived_scan() -> None:
    op.create_table(
        "archived_scan",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("scan_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("source_key", KeyText, nullable=False),
        sa.Column("source_etag", sa.Text(), nullable=True),
        sa.Column("other_output_key", KeyText, nullable=True),
        sa.Column("output_bytes", sa.BigInteger(), nullable=True),
        sa.Column("checkpoint", sa.String(length=64), nullable=True),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("reviewed_by", sa.Text(), nullable=True),
        sa.Column("reviewed_at", Moment, nullable=True),
        sa.Column("finished_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("job_id", "scan_id"),
    )
    op.create_index("archived_scan_by_source_key", "archived_scan", ["source_key"], postgresql_using="hash")
    output_key = sa.text("coalesce(other_output_key, source_key)")
    op.create_index("archived_scan_by_output_key", "archived_scan", [output_key], postgresql_using="hash")
    failed = sa.text("state = 'failed'")
    op.create_index(
        "archived_scan_failed",
        "archived_scan",
        ["job_id", "error_code"],
        postgresql_where=failed,
        sqlite_where=failed,
    )
