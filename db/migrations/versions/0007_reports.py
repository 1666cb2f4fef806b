"""Reports are written by the scheduler when a job ends."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Jobs that ended before this revision get none by themselves: photochrom report makes one.
    op.add_column("job", sa.Column("report_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job", sa.Column("report_key", sa.Text(), nullable=True))
    op.create_index("job_by_report", "job", ["report_due_at"])
