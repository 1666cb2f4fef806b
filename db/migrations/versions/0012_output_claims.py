"""Each output belongs to one source: adds the table of claims, and fills it from the existing jobs."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

# If two sources had the same output before, it belongs to the source that was stored last.
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
    """The first 8 bytes of the MD5, as a signed number; PostgreSQL computes the same below."""
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
