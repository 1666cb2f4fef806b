"""jobs, chunks, scans and workers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("selection", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("max_failures", sa.BigInteger(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("scan_count", sa.BigInteger(), nullable=False),
        sa.Column("other_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('completed', 'aborted', 'cancelled')) = (finished_at IS NOT NULL)", name="ended_has_a_time"
        ),
        sa.CheckConstraint(
            "state IN ('submitting', 'running', 'paused', 'completed', 'aborted', 'cancelled')", name="state_known"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("job_by_state", "job", ["state", "priority"], unique=False)

    op.create_table(
        "worker",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("children", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("checkpoint", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "chunk",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("job_id", BigKey, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("killed_children", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("scan_count", sa.Integer(), nullable=False),
        sa.Column("done_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("skipped_count", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'leased') = (lease_expires_at IS NOT NULL)", name="lease_has_an_end"),
        sa.CheckConstraint("(state = 'leased') = (worker IS NOT NULL)", name="lease_has_a_holder"),
        sa.CheckConstraint("(state = 'queued') = (queued_at IS NOT NULL)", name="queued_has_a_time"),
        sa.CheckConstraint("done_count >= 0 AND failed_count >= 0 AND skipped_count >= 0", name="counts_are_counts"),
        sa.CheckConstraint("done_count + failed_count + skipped_count <= scan_count", name="counts_fit"),
        sa.CheckConstraint(
            "state <> 'done' OR done_count + failed_count + skipped_count = scan_count", name="done_has_nothing_left"
        ),
        sa.CheckConstraint("state IN ('pending', 'queued', 'leased', 'done')", name="state_known"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("chunk_by_job", "chunk", ["job_id"], unique=False)
    op.create_index("chunk_by_state", "chunk", ["state", "job_id", "id"], unique=False)

    op.create_table(
        "scan",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("job_id", BigKey, nullable=False),
        sa.Column("chunk_id", BigKey, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("source_etag", sa.Text(), nullable=True),
        sa.Column("source_bytes", sa.BigInteger(), nullable=True),
        sa.Column("source_sha256", sa.String(length=64), nullable=True),
        sa.Column("output_key", sa.Text(), nullable=False),
        sa.Column("output_bytes", sa.BigInteger(), nullable=True),
        sa.Column("output_sha256", sa.String(length=64), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("bit_depth", sa.Integer(), nullable=True),
        sa.Column("picture_left", sa.Integer(), nullable=True),
        sa.Column("picture_top", sa.Integer(), nullable=True),
        sa.Column("picture_width", sa.Integer(), nullable=True),
        sa.Column("picture_height", sa.Integer(), nullable=True),
        sa.Column("lost_metadata", sa.Text(), nullable=True),
        sa.Column("checkpoint", sa.String(length=64), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("fetch_ms", sa.Double(), nullable=True),
        sa.Column("open_ms", sa.Double(), nullable=True),
        sa.Column("wait_ms", sa.Double(), nullable=True),
        sa.Column("predict_ms", sa.Double(), nullable=True),
        sa.Column("compose_ms", sa.Double(), nullable=True),
        sa.Column("store_ms", sa.Double(), nullable=True),
        sa.Column("colourfulness", sa.Double(), nullable=True),
        sa.Column("certainty", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state <> 'done' OR output_sha256 IS NOT NULL", name="done_has_output"),
        sa.CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_has_reason"),
        sa.CheckConstraint("state IN ('pending', 'done', 'failed', 'skipped')", name="state_known"),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunk.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("scan_by_chunk", "scan", ["chunk_id"], unique=False)
    op.create_index("scan_by_job_state", "scan", ["job_id", "state", "id"], unique=False)
    op.create_index("scan_output", "scan", ["job_id", "output_key"], unique=True)
