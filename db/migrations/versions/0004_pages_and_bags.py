"""Scans of several pages; destinations that are BagIt bags."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("scan", sa.Column("pages", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True))
