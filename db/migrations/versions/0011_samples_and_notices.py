"""Jobs that wait until somebody has chosen from a sample; the outbox of notices."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
STATES = "state IN ('submitting', 'sampled', 'running', 'paused', 'completed', 'aborted', 'cancelled')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _change_check()
    else:
        op.drop_constraint("state_known", "job", type_="check")
        op.create_check_constraint("state_known", "job", STATES)
    op.create_table(
        "notice",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("event", sa.String(length=200), nullable=False),
        sa.Column("receiver", sa.String(length=16), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("next_try_at", Moment, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", Moment, nullable=True),
        sa.Column("given_up_at", Moment, nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event", "receiver"),
    )
    waiting = sa.text("sent_at IS NULL AND given_up_at IS NULL")
    op.create_index("notice_to_send", "notice", ["next_try_at"], postgresql_where=waiting, sqlite_where=waiting)


def _change_check() -> None:
    """Change the constraint's text in SQLite, as section 7 of https://sqlite.org/lang_altertable.html describes.

    The only other way in SQLite is to make a new table, and then the views that read it would have to be dropped. The
    new check allows more than the old one, so the existing rows fulfil it.
    """
    op.execute("PRAGMA writable_schema = ON")
    op.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, '(''submitting'', ''running''', "
        "'(''submitting'', ''sampled'', ''running''') WHERE type = 'table' AND name = 'job'"
    )
    op.execute("PRAGMA writable_schema = RESET")
