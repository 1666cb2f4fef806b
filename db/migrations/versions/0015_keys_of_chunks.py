"""The keys of each chunk's scans as one text, so that a part of a key is found without reading every scan."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "chunk_keys",
        sa.Column("chunk_id", BigKey, nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunk.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("chunk_id"),
    )
    lines = (
        "group_concat(source_key, char(10))"
        if op.get_bind().dialect.name == "sqlite"
        else "string_agg(source_key, E'\\n')"
    )
    op.execute(f"INSERT INTO chunk_keys (chunk_id, keys) SELECT chunk_id, {lines} FROM scan GROUP BY chunk_id")
