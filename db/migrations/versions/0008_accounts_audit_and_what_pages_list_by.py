"""Accounts, tokens, sessions, audit; who submitted a job; a scan's verdict; the indexes that pages list scans by."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
ROLES = "role IN ('viewer', 'reviewer', 'operator')"

# For each index: the column that scans are listed by, and the condition for rows in the list.
LISTS = {
    "scan_by_job_key": ("source_key", None),
    "scan_by_job_code": ("error_code", "error_code IS NOT NULL"),
    "scan_by_certainty": ("certainty", "certainty IS NOT NULL"),
    "scan_by_colourfulness": ("colourfulness", "colourfulness IS NOT NULL"),
    "scan_by_verdict": ("verdict", "verdict IS NOT NULL"),
    "scan_to_review": ("review_weight", "review_weight IS NOT NULL"),
}


def upgrade() -> None:
    _create_accounts()
    _create_records()
    op.add_column("job", sa.Column("submitted_by", sa.Text(), nullable=True))
    op.add_column("scan", sa.Column("verdict", sa.String(length=16), nullable=True))
    op.execute(
        "UPDATE scan SET verdict = (SELECT verdict FROM review WHERE scan_id = scan.id ORDER BY review.id DESC LIMIT 1)"
        " WHERE id IN (SELECT scan_id FROM review)"
    )
    op.drop_index("scan_to_review", "scan")
    for name, (column, where) in LISTS.items():
        rows = None if where is None else sa.text(where)
        op.create_index(name, "scan", ["job_id", column, "id"], postgresql_where=rows, sqlite_where=rows)


def _create_accounts() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("prefixes", sa.JSON(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("disabled_at", Moment, nullable=True),
        sa.CheckConstraint(ROLES, name="role_known"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "api_token",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=True),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.CheckConstraint(ROLES, name="role_known"),
        sa.ForeignKeyConstraint(["account"], ["account.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_index("api_token_by_account", "api_token", ["account"])
    op.create_table(
        "web_session",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("web_session_by_end", "web_session", ["expires_at"])
    op.create_index("web_session_by_account", "web_session", ["account"])


def _create_records() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("done_at", Moment, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("job_id", BigKey, nullable=True),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_entry_by_job", "audit_entry", ["job_id", "id"])
    op.create_table(
        "idempotency_key",
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("actor", "key"),
    )
