"""The tables of who may do what in pages and API: accounts, tokens, sessions, and what each person did."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, BigKey, UtcDateTime, one_of


class Role:
    """Roles. Each role may also do everything that the roles before it may do."""

    VIEWER = "viewer"  # sees jobs, scans and pictures
    REVIEWER = "reviewer"  # accepts, rejects and redoes outputs
    OPERATOR = "operator"  # submits, controls jobs, changes schedules
    ALL = (VIEWER, REVIEWER, OPERATOR)


class Account(Base):
    """A person, or a program, that may sign in."""

    __tablename__ = "account"
    __table_args__ = (one_of("role", Role.ALL),)

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(Text)  # argon2id; NULL: signs in only by a proxy or a token
    # Sees only jobs under these; NULL: all jobs.
    prefixes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApiToken(Base):
    """A secret with which a program acts for an account. Only its SHA-256 is kept."""

    __tablename__ = "api_token"
    __table_args__ = (one_of("role", Role.ALL), Index("api_token_by_account", "account"))

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name", ondelete="CASCADE"))
    label: Mapped[str] = mapped_column(Text)  # what it is for
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))  # the token may do no more than this, even if its account may
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebSession(Base):
    """A browser that has signed in. Only the SHA-256 of its cookie is kept."""

    __tablename__ = "web_session"
    __table_args__ = (Index("web_session_by_end", "expires_at"), Index("web_session_by_account", "account"))

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name", ondelete="CASCADE"))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEntry(Base):
    """What a person, or a program, did. Rows are only ever added."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("audit_entry_by_job", "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    done_at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(Text)
    via: Mapped[str] = mapped_column(String(16))  # local, proxy, session or token
    action: Mapped[str] = mapped_column(String(32))  # submit, pause, accept, sign_in ...
    # No foreign key, because the entry stays when the job is deleted.
    job_id: Mapped[int | None] = mapped_column(BigKey)
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class IdempotencyKey(Base):
    """A submission that a program may send twice, and the answer that it gets both times."""

    __tablename__ = "idempotency_key"

    actor: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))  # another request under the same key is refused
    status: Mapped[int | None] = mapped_column(Integer)  # NULL until the first request is answered
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
