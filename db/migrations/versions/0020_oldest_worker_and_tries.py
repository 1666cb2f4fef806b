"""A firing's tries, which count only what ended without being handed back; `attempt` goes on to fence its owners."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    # A scheduler of an earlier version, which inserts a firing during the upgrade, begins the first try.
    op.add_column("firing", sa.Column("tries", sa.Integer(), nullable=False, server_default="1"))
    op.execute("UPDATE firing SET tries = attempt")
