"""Each output belongs to one source: claims, filled from the jobs that are there."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

# Where two sources had one output before, what was stored last is what lies there.
_FILL = """
    INSERT INTO output_claim (uri, source_hash, job_id)
    SELECT job.destination || '/' || scan.output_key, {hash}, job.id
    FROM scan JOIN job ON job.id = scan.job_id
    WHERE scan.state = 'done' OR job.state <> 'cancelled'
    ORDER BY job.destination || '/' || scan.output_key, CASE WHEN scan.state = 'done' THEN 0 ELSE 1 END,
             scan.finished_at DESC, job.id DESC
    ON CONFLICT DO NOTHING
"""
_SOURCE = "job.source || '/' || scan.source_key"


def source_hash(uri: str) -> int:
    """As PostgreSQL computes it below: the first 8 bytes of MD5, as a signed number."""
    return int.from_bytes(hashlib.md5(uri.encode(), usedforsecurity=False).digest()[:8], "big", signed=True)


def upgrade() -> None:
    op.create_table(
        "output_claim",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("source_hash", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uri"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.connection.dbapi_connection.create_function("source_hash", 1, source_hash, deterministic=True)  # type: ignore[union-attr]
        op.execute(_FILL.format(hash=f"source_hash({_SOURCE})"))
    else:
        op.execute(_FILL.format(hash=f"('x' || substr(md5({_SOURCE}), 1, 16))::bit(64)::bigint"))
