"""Jobs whose source a scheduler lists: the whole submission, and the lease of whoever lists it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("job", sa.Column("request", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("listing_lease_expires_at", sa.DateTime(timezone=True), nullable=True))
