"""Checks that a change comes from the pages themselves, and not from another site in the same browser."""

import hashlib
import hmac
import secrets

from starlette.requests import HTTPConnection, Request

from scheduler.web.auth.identity import host_of
from scheduler.web.errors import Forbidden

BROWSER_COOKIE = "photochrom-browser"
FIELD, HEADER = "csrf", "x-csrf-token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OTHER_SITES = ("cross-site", "same-site")


def new_browser_secret() -> str:
    return secrets.token_urlsafe(32)


def token(browser_secret: str) -> str:
    """The token in each form. A site that does not have the browser's cookie can't know it."""
    return hmac.new(browser_secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def expect_own_site(connection: HTTPConnection, web_url: str | None) -> None:
    """Raises Forbidden if the browser says that a change comes from another site.

    Programs don't say where it comes from.
    """
    origin = connection.headers.get("origin")
    hosts = (connection.headers.get("host", "").lower(), (web_url or "").partition("//")[2].partition("/")[0].lower())
    foreign = origin is not None and origin.partition("//")[2].lower() not in filter(None, hosts)
    if foreign or connection.headers.get("sec-fetch-site") in _OTHER_SITES:
        raise Forbidden(
            f"this change was refused, because it comes from another site ({host_of(origin or '') or 'unnamed'})"
        )


async def expect_token(request: Request) -> None:
    """A dependency of every form. Raises Forbidden if the token is wrong or missing."""
    if request.method in SAFE_METHODS:
        return
    browser_secret = request.cookies.get(BROWSER_COOKIE, "")
    form_token = request.headers.get(HEADER) or str((await request.form()).get(FIELD, ""))
    if not browser_secret or not hmac.compare_digest(form_token.encode(), token(browser_secret).encode()):
        raise Forbidden("the form comes from another browser or is too old; load the page again")
