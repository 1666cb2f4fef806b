"""How a scan's pixels were made: head, embedding, saturation, precision and the side that the network saw."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("scan", sa.Column("head", sa.String(length=16), nullable=True))
    op.add_column("scan", sa.Column("embedding", sa.Text(), nullable=True))
    op.add_column("scan", sa.Column("saturation", sa.Double(), nullable=True))
    op.add_column("scan", sa.Column("precision", sa.String(length=16), nullable=True))
    op.add_column("scan", sa.Column("input_px", sa.Integer(), nullable=True))
