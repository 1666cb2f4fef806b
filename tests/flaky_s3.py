"""A proxy in front of a real S3 server. It makes some calls fail, or lists objects with other storage classes."""

import random
import re
import threading
import time
from collections import Counter, deque
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

Fault = Literal[
    "internal_error",  # 500
    "slow_down",  # 503, throttling
    "precondition_failed",  # 412
    "denied",  # 403
    "hang",  # no answer for `hang_seconds`, then the connection is closed
    "reset",  # the connection is closed instead of an answer; the call was not carried out
    "lost_answer",  # as "reset", but the call was carried out
    "cut_body",  # the connection is closed in the middle of the body
    "wrong_length",  # Content-Length is too small by half, and so is the body
    "damaged",  # one byte of the body is changed
    "other_etag",  # the ETag belongs to other content
    "archived",  # 403: the object lies in cold storage
]
# The faults after which another attempt can succeed.
PASSING: tuple[Fault, ...] = (
    "internal_error",
    "slow_down",
    "hang",
    "reset",
    "lost_answer",
    "cut_body",
    "wrong_length",
    "damaged",
)
_ERRORS = {
    "internal_error": (500, "InternalError"),
    "slow_down": (503, "SlowDown"),
    "precondition_failed": (412, "PreconditionFailed"),
    "denied": (403, "AccessDenied"),
    "archived": (403, "InvalidObjectState"),
}
# Faults of an answer's body. An answer without a body is lost instead.
_OF_BODY = ("cut_body", "wrong_length", "damaged")


class FlakyS3:
    """A context manager. It makes a `share` (0..1) of all calls fail, chosen by `seed`, and those of `fail_next`.

    Requests pass unchanged, including the Host header, so their signatures stay valid.
    """

    def __init__(
        self,
        upstream_url: str,
        *,
        share: float = 0.0,
        faults: tuple[Fault, ...] = PASSING,
        seed: int = 1,
        hang_seconds: float = 2.0,
    ) -> None:
        self.upstream = urlsplit(upstream_url).netloc
        self.share = share
        self.faults = faults
        self.hang_seconds = hang_seconds
        self.counts: Counter[str] = Counter()  # how often each fault happened, and all "calls"
        # The storage class to list for each whole key. If the value ends in " restored", a RestoreStatus is listed too.
        self.storage_classes: dict[str, str] = {}
        self._planned: deque[tuple[Fault, str]] = deque()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.flaky = self

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail_next(self, fault: Fault, *, times: int = 1, method: str = "") -> None:
        """Make the next calls fail (only those of one HTTP method, if given), before any that are chosen by `share`."""
        assert fault in get_args(Fault), fault
        with self._lock:
            self._planned.extend([(fault, method)] * times)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def as_listed(self, listing: bytes) -> bytes:
        """The listing with the storage classes of `storage_classes`."""
        return re.sub(r"<Contents>.*?</Contents>", self._with_class, listing.decode(), flags=re.DOTALL).encode()

    def _with_class(self, entry: re.Match[str]) -> str:
        [key] = re.findall("<Key>(.*?)</Key>", entry[0])
        if key not in self.storage_classes:
            return entry[0]
        storage_class, _, restored = self.storage_classes[key].partition(" ")
        expiry = "<RestoreExpiryDate>2100-01-01T00:00:00Z</RestoreExpiryDate>"
        status = f"<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>{expiry}</RestoreStatus>"
        new = f"<StorageClass>{storage_class}</StorageClass>{status if restored else ''}"
        return re.sub("<StorageClass>.*?</StorageClass>", new, entry[0])

    def choose(self, method: str) -> Fault | None:
        """The fault of the call that has just come in, if any."""
        with self._lock:
            self.counts["calls"] += 1
            fault = self._chosen(method)
            if fault:
                self.counts[fault] += 1
            return fault

    def _chosen(self, method: str) -> Fault | None:
        if self._planned and self._planned[0][1] in ("", method):
            return self._planned.popleft()[0]
        return self._random.choice(self.faults) if self._random.random() < self.share else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    flaky: FlakyS3

    def handle_error(self, *_: object) -> None:
        """Print nothing, since these tests expect clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.flaky.choose(self.command)
        if fault == "hang":
            time.sleep(self.server.flaky.hang_seconds)
        if fault in ("hang", "reset"):
            self.close_connection = True
        elif fault in _ERRORS:
            status, code = _ERRORS[fault]
            self._answer(status, [], f"<Error><Code>{code}</Code><Message>spoiled</Message></Error>".encode())
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - http.server's names

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        status, headers, answer = self._ask_upstream(body)
        if "list-type=2" in self.path:
            answer = self.server.flaky.as_listed(answer)
        if fault == "other_etag":
            headers = [(name, f'"{0:032x}"' if name.lower() == "etag" else value) for name, value in headers]
        if fault == "lost_answer" or (fault in _OF_BODY and not answer):
            self.close_connection = True
        elif fault == "cut_body":
            self._answer(status, headers, answer[: len(answer) // 2], length=len(answer))
            self.close_connection = True
        elif fault == "wrong_length":
            self._answer(status, headers, answer[: len(answer) // 2])
        elif fault == "damaged":
            self._answer(status, headers, bytes([answer[0] ^ 1]) + answer[1:])
        else:
            self._answer(status, headers, answer)

    def _ask_upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = HTTPConnection(self.server.flaky.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, length: int | None = None) -> None:
        self.send_response_only(status)
        own_length = self.command != "HEAD" and status != 204
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection") and not (
                own_length and name.lower() == "content-length"
            ):
                self.send_header(name, value)
        if own_length:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
