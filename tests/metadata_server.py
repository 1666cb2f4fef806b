"""The metadata services of clouds, where a machine reads that the cloud will take it away."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

AWS_PATH = "/latest/meta-data/spot/instance-action"


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: PUT gives a token, which every GET must send. GET answers 404 until there is a notice."""

    notice: ClassVar[str | None] = None
    valid_token: ClassVar[str] = "first"

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token" and int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
        self._answer(200 if known else 403, self.valid_token)

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != self.valid_token:
            self._answer(401, "")
        elif self.path == AWS_PATH and self.notice is not None:
            self._answer(200, self.notice)
        else:
            self._answer(404, "")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


class Google(Metadata):
    notice: ClassVar[str | None] = "FALSE"

    def do_GET(self) -> None:
        self._answer(200 if self.headers["Metadata-Flavor"] == "Google" else 403, self.notice or "")


@contextmanager
def serving(kind: type[Metadata]) -> Iterator[ThreadingHTTPServer]:
    """A running server with its own subclass of `kind`, so that servers do not share a notice."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Kind", (kind,), {})) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
