"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
oldest_worker = ${repr(up_revision)}  # CONTRIBUTING.md says how to choose it


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
