"""How often a job's report was begun, so that a report that kills its writer is not tried for ever."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("job", sa.Column("report_tries", sa.Integer(), nullable=False, server_default="0"))
