"""Renders pages from templates. Everything is escaped, and an unknown name in a template is an error."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from scheduler.report.plain_text import without_credentials
from scheduler.templates import template_environment
from scheduler.text import counted, pace
from scheduler.web.auth import csrf
from worker.error_codes import ERROR_CODES

_RETRY = re.compile(r"`photochrom retry[^`]*`")
TEMPLATES, STATIC = (Path(__file__).parent / name for name in ("templates", "static"))


def render(
    request: Request, template: str, values: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] = {}
) -> HTMLResponse:
    """The page as an answer. A browser without a cookie gets one, so that its forms can be recognized."""
    secret = request.cookies.get(csrf.BROWSER_COOKIE)
    new_secret = secret or csrf.new_browser_secret()
    common = {
        "identity": getattr(request.state, "identity", None),
        "csrf_token": csrf.token(new_secret),
        "path": request.url.path,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "asset": _asset,
    }
    page = environment().get_template(template).render({**common, **values})
    response = HTMLResponse(page, status, {"cache-control": "no-store", **headers})
    if secret is None:
        set_cookie(request, response, csrf.BROWSER_COOKIE, new_secret, None)
    return response


def set_cookie(request: Request, response: Response, name: str, value: str, max_age_seconds: int | None) -> None:
    """Set a cookie that scripts can't read and other sites don't send.

    If the pages use TLS, it is sent over TLS only.
    """
    web_url = request.app.state.context.settings.web_url or ""
    secure = request.url.scheme == "https" or web_url.startswith("https:")
    response.set_cookie(name, value, max_age=max_age_seconds, httponly=True, secure=secure, samesite="lax")


@cache
def environment() -> Environment:
    environment = template_environment(TEMPLATES)
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "decimals": lambda value, digits=1: "–" if value is None else f"{value:,.{digits}f}",
        "share": lambda value: "–" if value is None else f"{value:.0%}",
        "size": size,
        "duration": duration,
        "moment": moment,
        "iso": lambda value: value.astimezone(UTC).isoformat(timespec="seconds"),
        "pace": pace,
        "counted": counted,
        "zip_twice": lambda names: [(name, name) for name in names],
        "visible": visible,
        "place": lambda value: visible(without_credentials(value)),
        "spaced": lambda value: str(value).replace("_", " "),
        "meaning": lambda code: ERROR_CODES[code].meaning if code in ERROR_CODES else "",
        "remedy": remedy,
    }
    return environment


def remedy(code: str) -> str:
    """What to do about scans with this code. The pages have a button for a retry, so the text does not name that
    command.
    """
    if code not in ERROR_CODES:
        return ""
    return _RETRY.sub("try it again", ERROR_CODES[code].remedy).replace("`", "")


@cache
def _asset(name: str) -> str:
    """The address of one of our files. It changes with the file's content, so browsers may cache it for ever."""
    digest = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def visible(text: str) -> str:
    """The text with control and direction marks as escapes.

    Keys come from outside, and such marks could hide their real text.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def size(count: float | None) -> str:
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 days 4 h`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days {hours % 24} h"


def moment(value: datetime | None) -> str:
    """A time in UTC. Scripts, if they run, show it in the reader's time zone."""
    return "–" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
