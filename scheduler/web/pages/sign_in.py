"""Sign in and out with a local account; liveness and readiness of the process."""

import logging
import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from db.clock import database_now
from db.queries.access import accounts, audit
from db.session import read_scope, session_scope
from scheduler.access import passwords
from scheduler.access.stored_secrets import secret_sha256
from scheduler.web.auth.identity import SESSION_COOKIE
from scheduler.web.context import Context, TheContext
from scheduler.web.errors import TooManyRequests
from scheduler.web.pages.jobs import own_address
from scheduler.web.rendering import render, set_cookie

router = APIRouter()
logger = logging.getLogger(__name__)


@router.get("/sign-in")
def show(request: Request, next: str = "/jobs") -> Response:
    return render(request, "sign_in.html", {"next": own_address(next), "problem": "", "name": ""})


@router.post("/sign-in")
def sign_in(
    request: Request,
    context: TheContext,
    name: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=passwords.LONGEST)],
    next: Annotated[str, Form(max_length=4_096)] = "/jobs",
) -> Response:
    """Sign in. The answer does not say whether the name or the password is wrong."""
    address = context.identifier.client_address(request)
    if wait := context.throttle.wait_seconds(name, address):
        raise TooManyRequests(f"too many tries; sign in again in {round(wait / 60) + 1} minutes", wait)
    if not _is_known(context, name, password):
        context.throttle.note_failure(name, address)
        _note_failure(context, name, address)
        problem = "The name or the password is wrong."
        return render(
            request, "sign_in.html", {"next": own_address(next), "problem": problem, "name": name}, status=401
        )
    context.throttle.forget(name, address)
    response = RedirectResponse(own_address(next), 303)
    seconds = round(context.settings.web_session_hours * 3600)
    set_cookie(request, response, SESSION_COOKIE, _open(context, name, seconds), seconds)
    return response


@router.post("/sign-out")
def sign_out(request: Request, context: TheContext) -> Response:
    if secret := request.cookies.get(SESSION_COOKIE):
        with session_scope(context.engine) as session:
            accounts.close_session(session, secret_sha256(secret))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.get("/live")
def live(request: Request) -> Response:
    return _health(request.app.state.health.live())


@router.get("/ready")
def ready(request: Request) -> Response:
    """Whether the process is ready. The full reason, with the database's address, is only in the log and on the metrics
    port.
    """
    health = request.app.state.health
    return _health(health.live() or ("the job database can't be reached" if health.ready() else ""))


def _health(problem: str) -> Response:
    return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)


def _is_known(context: Context, name: str, password: str) -> bool:
    if "\0" in name:
        return False
    with read_scope(context.engine) as session:
        account = accounts.enabled(session, name)
    return passwords.is_password(password, account.password_hash if account else None)


def _note_failure(context: Context, name: str, address: str) -> None:
    """Record who could not sign in. A name without an account is left out, because it may be a password."""
    with session_scope(context.engine) as session:
        is_known = "\0" not in name and accounts.get(session, name) is not None
        actor, detail = name if is_known else "unknown", {"address": address}
        audit.note(session, actor, "session", "sign_in_failed", now=database_now(session), detail=detail)
    logger.warning("a sign-in of %s from %s failed", repr(name) if is_known else "an unknown name", address)


def _open(context: Context, name: str, seconds: int) -> str:
    secret = secrets.token_urlsafe(32)
    with session_scope(context.engine) as session:
        now = database_now(session)
        expires_at = now + timedelta(seconds=seconds)
        accounts.open_session(session, secret_sha256(secret), name, expires_at=expires_at, now=now)
        audit.note(session, name, "session", "sign_in", now=now)
    return secret
