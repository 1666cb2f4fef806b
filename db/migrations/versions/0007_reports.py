"""Reports are written by the scheduler when a job ends."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # The scheduler writes no reports for jobs that ended before this revision; photochrom report does.
    op.add_column("job", sa.Column("report_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job", sa.Column("report_key", sa.Text(), nullable=True))
    op.create_index("job_by_report", "job", ["report_due_at"])
