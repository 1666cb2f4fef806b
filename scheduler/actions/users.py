"""Accounts and API tokens: who may sign in, and with what."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine

from db.clock import database_now
from db.models.access import Account
from db.queries.access import accounts, audit
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.access.passwords import hash_password
from scheduler.access.stored_secrets import secret_sha256
from worker.storage import parse_location

TOKEN_START = "photochrom_"  # noqa: S105  no secret: by which tools that look for lost secrets know one


def add(
    engine: Engine, name: str, actor: Actor, *, role: str, password: str | None, prefixes: Sequence[str] = ()
) -> None:
    """Add an account. Without a password, it signs in only by a proxy or a token. Raises UsageError."""
    places = [parse_location(prefix).uri for prefix in prefixes]
    password_hash = None if password is None else hash_password(password)
    with session_scope(engine) as session:
        now = database_now(session)
        accounts.add(session, name, role=role, password_hash=password_hash, prefixes=places or None, now=now)
        audit.note(session, actor.name, actor.via, "user_add", now=now, detail={"account": name, "role": role})


def set_password(engine: Engine, name: str, password: str, actor: Actor) -> None:
    """Set the password, and end the account's sessions. Raises NotFound, UsageError."""
    password_hash = hash_password(password)
    with session_scope(engine) as session:
        accounts.set_password(session, name, password_hash)
        audit.note(session, actor.name, actor.via, "user_password", now=database_now(session), detail={"account": name})


def remove(engine: Engine, name: str, actor: Actor) -> None:
    """Remove an account with its tokens and sessions. Raises NotFound."""
    with session_scope(engine) as session:
        accounts.remove(session, name)
        audit.note(session, actor.name, actor.via, "user_remove", now=database_now(session), detail={"account": name})


def disable(engine: Engine, name: str, actor: Actor) -> None:
    """Raises NotFound."""
    with session_scope(engine) as session:
        now = database_now(session)
        accounts.disable(session, name, now=now)
        audit.note(session, actor.name, actor.via, "user_disable", now=now, detail={"account": name})


def enable(engine: Engine, name: str, actor: Actor) -> None:
    """Raises NotFound."""
    with session_scope(engine) as session:
        accounts.enable(session, name)
        audit.note(session, actor.name, actor.via, "user_enable", now=database_now(session), detail={"account": name})


def change(
    engine: Engine, name: str, actor: Actor, *, role: str | None = None, prefixes: Sequence[str] | None = None
) -> Account:
    """Change what the account may do. None leaves the role or the prefixes as they are; no prefixes: all places.

    Returns the account. Raises NotFound, UsageError.
    """
    places = None if prefixes is None else [parse_location(prefix).uri for prefix in prefixes]
    with session_scope(engine) as session:
        account = accounts.change(session, name, role=role, prefixes=places)
        detail = {"account": name, "role": account.role, "prefixes": account.prefixes}
        audit.note(session, actor.name, actor.via, "user_change", now=database_now(session), detail=detail)
    return account


def new_token(
    engine: Engine, name: str, actor: Actor, *, label: str, role: str | None = None, days: int | None = None
) -> tuple[int, str]:
    """Make a token. Returns its number and the token itself, which is shown only this once.

    Raises NotFound, UsageError.
    """
    secret = TOKEN_START + secrets.token_urlsafe(32)
    with session_scope(engine) as session:
        now = database_now(session)
        account = accounts.get(session, name)
        number = accounts.add_token(
            session,
            name,
            label=label,
            sha256=secret_sha256(secret),
            role=role or (account.role if account else "viewer"),
            now=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        detail = {"account": name, "token": number}
        audit.note(session, actor.name, actor.via, "token_add", now=now, detail=detail)
    return number, secret


def revoke_token(engine: Engine, token_id: int, actor: Actor) -> None:
    """Raises NotFound."""
    with session_scope(engine) as session:
        now = database_now(session)
        accounts.revoke_token(session, token_id, now=now)
        audit.note(session, actor.name, actor.via, "token_revoke", now=now, detail={"token": token_id})
