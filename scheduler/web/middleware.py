"""The work for every request: security headers, limits, a check from which site a change comes, metrics."""

import time
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.web.auth import csrf
from scheduler.web.metrics import WebMetrics
from scheduler.web.problems import problem_response, unexpected
from worker.errors import PhotochromError

MAX_BODY_BYTES = 4 << 20  # a submission, a form, a thousand verdicts
MAX_URL_BYTES = 8 << 10
CLIENT_GONE = 499  # in the metrics, as nginx counts those who did not wait for an answer
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class TooLarge(PhotochromError):
    """The body became larger than its limit while it was read."""


class Guard:
    """Plain ASGI, around the whole application."""

    def __init__(self, app: ASGIApp, *, web_url: str | None, metrics: WebMetrics) -> None:
        self._app, self._web_url, self._metrics = app, web_url, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), [CLIENT_GONE]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers(scope):
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._limited(scope, receive, send_with_headers)
        finally:
            self._metrics.note(scope, status[0], time.monotonic() - began)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        if problem := _refusal(scope, connection, self._web_url):
            await _refuse(send, *problem)
            return
        exchange = _Exchange(receive, send)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as error:
            if exchange.began:
                raise  # a part of the answer is sent already, so the server closes the connection
            if not exchange.is_too_large:
                await unexpected(Request(scope), error)(scope, receive, send)
        if exchange.is_too_large and not exchange.began:
            await _refuse(send, 413, f"the body has more than {MAX_BODY_BYTES:,} bytes")

    def _headers(self, scope: Scope) -> Iterable[tuple[str, str]]:
        yield from _HEADERS.items()
        if scope["scheme"] == "https" or (self._web_url or "").startswith("https:"):
            yield "strict-transport-security", "max-age=31536000"


def _refusal(scope: Scope, connection: HTTPConnection, web_url: str | None) -> tuple[int, str] | None:
    """The status and the sentence for a request that is refused at once; None for others."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
        return 414, f"the address is longer than {MAX_URL_BYTES:,} bytes"
    length = connection.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return 413, f"the body has {length[:20]} bytes; expected at most {MAX_BODY_BYTES:,}"
    if scope["method"] not in csrf.SAFE_METHODS:
        try:
            csrf.expect_own_site(connection, web_url)
        except PhotochromError as error:
            return 403, error.message
    return None


class _Exchange:
    """One request and its answer: the body is counted, and an answer to a body that is too large is not sent.

    The code that reads the body may catch TooLarge as its own error, and answer that the body can't be understood.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._read_bytes = 0
        self.is_too_large = self.began = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._read_bytes += len(message.get("body", b""))
        if self._read_bytes > MAX_BODY_BYTES:
            self.is_too_large = True
            raise TooLarge(f"the body has more than {MAX_BODY_BYTES:,} bytes")
        return message

    async def send(self, message: Message) -> None:
        if self.is_too_large and not self.began:
            return
        self.began = True
        await self._send(message)


async def _refuse(send: Send, status: int, sentence: str) -> None:
    code = {403: "forbidden", 413: "too_large", 414: "too_large"}[status]
    # The rest of a body that is too large is not read, so the connection can serve no other request.
    response = problem_response(status, code, sentence)
    if status == 413:
        response.headers["connection"] = "close"
    await response({"type": "http"}, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
