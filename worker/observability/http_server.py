"""Serves /metrics for Prometheus, and /live and /ready for the system that restarts processes."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from worker.errors import UsageError
from worker.observability.health import Health

_ANSWER_SECONDS = 10


class MetricsServer:
    """Listens from the start of the block to its end; not at all if `port` is None.

    Raises UsageError if the port can't be used. The answer is 503 if the process is not alive or not ready; the body
    says why.
    """

    def __init__(self, address: str, port: int | None, registry: CollectorRegistry, health: Health) -> None:
        self._server: ThreadingHTTPServer | None = None
        if port is None:
            return
        handler = type("Handler", (_Handler,), {"registry": registry, "health": health})
        try:
            self._server = ThreadingHTTPServer((address, port), handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"can't listen on {address}:{port} ({error}); expected an address of this machine and a port that is "
                "free: set PHOTOCHROM_METRICS_ADDRESS and PHOTOCHROM_METRICS_PORT, one port for each process"
            ) from error

    def __enter__(self) -> "MetricsServer":
        if self._server:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    registry: ClassVar[CollectorRegistry]
    health: ClassVar[Health]
    timeout = _ANSWER_SECONDS
    server_version, sys_version = "photochrom", ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, generate_latest(self.registry), CONTENT_TYPE_LATEST)
            case "/live":
                self._say(self.health.live())
            case "/ready":
                self._say(self.health.ready())
            case _:
                self._answer(404, b"expected /metrics, /live or /ready\n", "text/plain; charset=utf-8")

    def _say(self, problem: str) -> None:
        self._answer(503 if problem else 200, f"{problem or 'ok'}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests come every few seconds, so they are not logged."""
