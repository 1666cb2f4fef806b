"""What a worker did in its last minute, and its scans since its start."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SHARES = ("device_busy_share", "batch_fill")
RATES = ("scans_per_second", "megapixels_per_second")
STAGES = ("fetch_ms", "open_ms", "wait_ms", "predict_ms", "compose_ms", "store_ms")


def upgrade() -> None:
    op.add_column("worker", sa.Column("ended_scans", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("worker", sa.Column("failed_scans", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("worker", sa.Column("model_queue_length", sa.Integer(), nullable=True))
    for name in (*SHARES, *RATES, *STAGES):
        op.add_column("worker", sa.Column(name, sa.Double(), nullable=True))
