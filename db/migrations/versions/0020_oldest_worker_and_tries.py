"""The oldest revision whose workers the database supports, the revision of each worker, and a firing's tries.

`oldest_worker` is a column of Alembic's own table, because it belongs to the revision there: both are in one row, every
role that reads the one may read the other, and dumps keep both. Alembic names its column in each statement, so it
leaves others alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
oldest_worker = "0019"  # CONTRIBUTING.md says how to choose it


def upgrade() -> None:
    op.add_column("alembic_version", sa.Column("oldest_worker", sa.String(length=32), nullable=True))
    op.add_column("worker", sa.Column("revision", sa.String(length=32), nullable=True))
    # A scheduler of an earlier version, which inserts a firing during the upgrade, begins the first try.
    op.add_column("firing", sa.Column("tries", sa.Integer(), nullable=False, server_default="1"))
    op.execute("UPDATE firing SET tries = attempt")
