"""Errors as answers: problem details (RFC 9457) for programs, a page for people."""

import json
import logging
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from db.errors import DatabaseUnavailable
from scheduler.web.errors import TooManyRequests, status_and_code
from scheduler.web.rendering import render
from worker.errors import PhotochromError

logger = logging.getLogger(__name__)

API = "/api/"
TITLES = {
    400: "This request can't be read",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "This method is not allowed here",
    406: "Not available in this form",
    409: "Not possible in this state",
    413: "Too large",
    414: "Too long",
    415: "This type of content is not accepted",
    422: "Not possible with these values",
    429: "Too many tries",
    500: "An error in Photochrom",
    503: "Not available now",
}
_CODES = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type", 400: "bad_request"}
RETRY_SECONDS = 5
DATABASE_AWAY = "The job database can't be reached; try again in a few seconds."
_FILES = ("/file", "/report", ".csv", ".jpg", ".json")  # how the addresses end that answer with a file, not a page


def problem_response(
    status: int, code: str, sentence: str, *, errors: list[dict[str, str]] | None = None, **headers: str
) -> Response:
    """An answer by RFC 9457. `code` is stable; `errors` names the wrong parts of the request."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": sentence,
    }
    if errors:
        body["errors"] = errors
    content = json.dumps(body, ensure_ascii=True)
    return Response(content, status, {"content-type": "application/problem+json", **headers})


def add_handlers(app: FastAPI) -> None:
    @app.exception_handler(PhotochromError)
    def _known(request: Request, error: PhotochromError) -> Response:
        status, code = status_and_code(error)
        if status == 500:
            logger.error("%s %s: %s", request.method, request.url.path, error.message)
        headers = {"retry-after": str(RETRY_SECONDS)} if status == 503 else {}
        if isinstance(error, TooManyRequests):
            headers["retry-after"] = str(max(1, round(error.retry_seconds)))
        if isinstance(error, DatabaseUnavailable):  # its address is for those who can read the log
            logger.warning("%s %s: %s", request.method, request.url.path, error.message)
            return _answer(request, status, code, DATABASE_AWAY, headers, loads_again=_shows_page(request))
        return _answer(request, status, code, error.message, headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"field": ".".join(str(part) for part in problem["loc"]), "message": str(problem["msg"])}
            for problem in error.errors()[:20]
        ]
        sentence = "; ".join(f"{entry['field']}: {entry['message']}" for entry in errors) or "the request can't be read"
        return _answer(request, 422, "invalid", sentence, {}, errors)

    @app.exception_handler(HTTPException)
    def _other(request: Request, error: HTTPException) -> Response:
        sentence = f"{request.method} {request.url.path}: {error.detail}"
        code = _CODES.get(error.status_code, "error")
        return _answer(request, error.status_code, code, sentence, dict(error.headers or {}))


def unexpected(request: Request, error: Exception) -> Response:
    """The answer to an error in Photochrom; the log has the details."""
    logger.error("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, "internal", "The log of photochrom web has the details; please report it.", {})


def _answer(
    request: Request,
    status: int,
    code: str,
    sentence: str,
    headers: dict[str, str],
    errors: list[dict[str, str]] | None = None,
    *,
    loads_again: bool = False,
) -> Response:
    if request.url.path.startswith(API):
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        return problem_response(status, code, sentence, errors=errors, **headers)
    if status == 401 and request.method == "GET":
        return RedirectResponse(f"/sign-in?next={_own_path(request)}", 303)
    values = {"title": TITLES.get(status, "Error"), "sentence": sentence, "loads_again": loads_again}
    return render(request, "error.html", values, status=status, headers=headers)


def _shows_page(request: Request) -> bool:
    """Whether a page may request this address again by itself: a form must not be sent twice, and a file is large."""
    return request.method == "GET" and not request.url.path.endswith(_FILES)


def _own_path(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.url.path + query, safe="/")
