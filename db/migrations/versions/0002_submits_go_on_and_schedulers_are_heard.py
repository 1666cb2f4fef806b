"""A submission continues where an earlier one was killed; schedulers send heartbeats."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("job", sa.Column("listing", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("job", sa.Column("listing_attempt", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "scheduler",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
