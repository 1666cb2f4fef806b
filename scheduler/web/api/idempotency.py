"""Requests with an Idempotency-Key: if one is sent twice, the second gets the answer of the first."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import Header
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.queries.access import idempotency
from db.session import session_scope
from scheduler.holding import extended
from scheduler.web.auth.identity import Identity
from scheduler.web.context import Context
from worker.errors import Conflict, PhotochromError, UsageError

logger = logging.getLogger(__name__)

HOLD_SECONDS = idempotency.GOING.total_seconds() / 4
Record = Callable[[Session, int, dict[str, Any]], None]  # stores a status and an answer for the request's key
IdempotencyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your choice; a new one for each request.",
    ),
]


def answer_once(
    context: Context,
    identity: Identity,
    key: str | None,
    request: dict[str, Any],
    make: Callable[[Record], tuple[int, dict[str, Any]]],
) -> tuple[int, dict[str, Any]]:
    """The status and the answer of `make`, which is called only once for a key.

    request: what was sent, without defaults: a later version has more fields, and must know the request again. `make`
    gets a function that stores the answer in the transaction of what it does. If it calls it, what it does and the
    answer are stored together or not at all, even if this process is killed at any moment.

    Raises UsageError if the key was used for another request, and Conflict while the first request is being answered.
    If `make` raises an error, this is raised too, and the key is free again.
    """
    if key is None:
        return make(_no_record)
    request_sha256 = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    with session_scope(context.engine) as session:
        earlier = idempotency.begin(session, identity.name, key, request_sha256, now=database_now(session))
    if earlier is not None:
        return _earlier_answer(earlier, key, request_sha256)

    def record(session: Session, status: int, row: dict[str, Any]) -> None:
        if not idempotency.finish(session, identity.name, key, status, _plain(row)):
            raise Conflict(f"another request with the Idempotency-Key {key!r} was answered meanwhile; ask again")

    try:
        with _held(context.engine, identity.name, key):
            status, row = make(record)
    except PhotochromError:
        with session_scope(context.engine) as session:
            idempotency.forget(session, identity.name, key)
        raise
    plain = _plain(row)
    with session_scope(context.engine) as session:
        idempotency.finish(session, identity.name, key, status, plain)
    return status, plain


def _no_record(session: Session, status: int, row: dict[str, Any]) -> None:
    """For a request without a key, whose answer is not stored."""


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(row, default=str))
    return plain


def _held(engine: Engine, actor: str, key: str) -> AbstractContextManager[None]:
    """While the block runs, the key's row shows that this process still answers the request."""

    def extend() -> bool:
        with session_scope(engine) as session:
            idempotency.hold(session, actor, key, now=database_now(session))
        return True

    return extended(extend, HOLD_SECONDS, "idempotency")


def _earlier_answer(earlier: idempotency.Earlier, key: str, request_sha256: str) -> tuple[int, dict[str, Any]]:
    if earlier.request_sha256 != request_sha256:
        raise UsageError(f"the Idempotency-Key {key!r} was used for another request; choose another key")
    if earlier.status is None or earlier.answer is None:
        raise Conflict(f"the first request with the Idempotency-Key {key!r} has no answer yet; ask again later")
    return earlier.status, earlier.answer
