"""Accounts, their tokens and their sessions. Of secrets, only hashes are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import NotFound, UsageError
from db.models.access import Account, ApiToken, Role, WebSession


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do: everything that the role allows, with jobs under these prefixes (None: with all jobs)."""

    name: str
    role: str
    prefixes: Sequence[str] | None


def exist(session: Session) -> bool:
    return session.scalar(select(Account.name).limit(1)) is not None


def listed(session: Session) -> list[Account]:
    return list(session.scalars(select(Account).order_by(Account.name)))


def add(
    session: Session,
    name: str,
    *,
    role: str,
    password_hash: str | None,
    prefixes: Sequence[str] | None,
    now: datetime,
) -> None:
    """Raises UsageError if the name is taken or the role does not exist."""
    _expect_role(role)
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise UsageError(f"{name!r} is not a valid name for an account; expected 1 to 200 letters")
    kept = list(prefixes) if prefixes else None
    session.add(Account(name=name, role=role, password_hash=password_hash, prefixes=kept, created_at=now))
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(f"there is an account {name!r} already; remove it first, or choose another name") from None


def get(session: Session, name: str) -> Account | None:
    return session.get(Account, name)


def enabled(session: Session, name: str) -> Account | None:
    return session.scalar(select(Account).where(Account.name == name, Account.disabled_at.is_(None)))


def set_password(session: Session, name: str, password_hash: str) -> None:
    """Ends the account's sessions. Raises UsageError for an unknown account."""
    _expect(session, name).password_hash = password_hash
    session.execute(delete(WebSession).where(WebSession.account == name))


def remove(session: Session, name: str) -> None:
    """Removes the account with its tokens and sessions. The audit rows stay.

    Raises UsageError for an unknown account.
    """
    session.delete(_expect(session, name))


def disable(session: Session, name: str, *, now: datetime) -> None:
    """From now on its sessions and tokens are refused. Raises UsageError for an unknown account."""
    _expect(session, name).disabled_at = now
    session.execute(delete(WebSession).where(WebSession.account == name))


def enable(session: Session, name: str) -> None:
    """It may sign in again, and those of its tokens that are not revoked work again. Raises NotFound."""
    _expect(session, name).disabled_at = None


def change(session: Session, name: str, *, role: str | None, prefixes: Sequence[str] | None) -> Account:
    """Set the role and the prefixes. None leaves the one or the other as it is; no prefixes: all places.

    Sessions and tokens stay, and from now on may do what the account may. Returns the account. Raises NotFound, and
    UsageError if the role does not exist.
    """
    account = _expect(session, name)
    if role is not None:
        _expect_role(role)
        account.role = role
    if prefixes is not None:
        account.prefixes = list(prefixes) or None
    return account


def _expect_role(role: str) -> None:
    if role not in Role.ALL:
        raise UsageError(f"{role!r} is not a role; expected one of {', '.join(Role.ALL)}")


def _expect(session: Session, name: str) -> Account:
    account = session.get(Account, name)
    if account is None:
        raise NotFound(f"there is no account {name!r}; photochrom users list shows all accounts")
    return account


def add_token(
    session: Session, name: str, *, label: str, sha256: str, role: str, now: datetime, expires_at: datetime | None
) -> int:
    """Returns the token's number. Raises UsageError for an unknown account, or a role that may do more than the
    account.
    """
    account = _expect(session, name)
    _expect_role(role)
    if Role.ALL.index(role) > Role.ALL.index(account.role):
        raise UsageError(f"{name!r} is a {account.role}; its token can't be a {role}: choose at most {account.role}")
    token = ApiToken(account=name, label=label, sha256=sha256, role=role, created_at=now, expires_at=expires_at)
    session.add(token)
    session.flush()
    return token.id


def tokens(session: Session) -> list[ApiToken]:
    return list(session.scalars(select(ApiToken).order_by(ApiToken.account, ApiToken.id)))


def revoke_token(session: Session, token_id: int, *, now: datetime) -> None:
    """Raises UsageError when there is no such token."""
    revoked = update(ApiToken).where(ApiToken.id == token_id).values(revoked_at=func.coalesce(ApiToken.revoked_at, now))
    if session.scalar(revoked.returning(ApiToken.id)) is None:
        raise NotFound(f"there is no token {token_id}; photochrom users tokens lists all tokens")


def token_grant(session: Session, sha256: str, *, now: datetime) -> Grant | None:
    """What the token's owner may do; None if the token is unknown, revoked or expired, or its account is disabled."""
    row = session.execute(
        select(ApiToken, Account)
        .join(Account, Account.name == ApiToken.account)
        .where(ApiToken.sha256 == sha256, ApiToken.revoked_at.is_(None), Account.disabled_at.is_(None))
    ).first()
    if row is None or (row[0].expires_at is not None and row[0].expires_at <= now):
        return None
    token, account = row
    return Grant(account.name, min(token.role, account.role, key=Role.ALL.index), account.prefixes)


def open_session(session: Session, sha256: str, name: str, *, expires_at: datetime, now: datetime) -> None:
    """Also removes the sessions that have expired."""
    session.execute(delete(WebSession).where(WebSession.expires_at <= now))
    session.add(WebSession(sha256=sha256, account=name, expires_at=expires_at))


def close_session(session: Session, sha256: str) -> None:
    session.execute(delete(WebSession).where(WebSession.sha256 == sha256))


def session_grant(session: Session, sha256: str, *, now: datetime) -> Grant | None:
    account = session.scalar(
        select(Account)
        .join(WebSession, WebSession.account == Account.name)
        .where(WebSession.sha256 == sha256, WebSession.expires_at > now, Account.disabled_at.is_(None))
    )
    return Grant(account.name, account.role, account.prefixes) if account else None
