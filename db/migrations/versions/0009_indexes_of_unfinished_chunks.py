"""Indexes that hold only the chunks that are not done, so that a round's time does not grow with the finished ones."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# For each index: its columns, and the condition for the chunks in it.
INDEXES = {
    "chunk_unfinished": (("job_id", "state", "id", "not_before"), "state <> 'done'"),
    "chunk_out": (("state", "job_id"), "state IN ('queued', 'leased')"),
    "chunk_failed": (("job_id", "failed_count"), "failed_count > 0"),
}


def upgrade() -> None:
    op.drop_index("chunk_by_state", "chunk")
    for name, (columns, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "chunk", [*columns], postgresql_where=where, sqlite_where=where)
