"""The process of `photochrom web`: it checks the settings, watches the database and runs uvicorn until SIGTERM."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from sqlalchemy import Engine, select

from db.migrations import check_up_to_date
from db.models.jobs import Job
from db.queries.access import accounts
from db.session import make_engine, read_scope
from scheduler.web.app import create_app
from scheduler.web.auth.identity import Identifier, is_loopback, proxy_networks
from scheduler.web.context import Context
from scheduler.web.metrics import WebMetrics
from scheduler.web.pictures.service import Pictures
from worker.errors import PhotochromError, UsageError
from worker.observability.health import Health
from worker.observability.http_server import MetricsServer
from worker.settings.settings import Settings
from worker.system.process_limits import lower_priority
from worker.system.temp_folders import own_folder
from worker.system.wait import wait_for

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
STOP_SECONDS = 10


def run_web(settings: Settings, *, announce: Callable[[str], None] = print) -> None:
    """Serve until SIGTERM or SIGINT. `announce` is called with the pages' address as soon as they can be opened.

    Waits until the database answers. Raises UsageError if the settings would let anybody in, if the database is not
    migrated, or if the address can't be used.
    """
    lower_priority(settings.web_nice)  # where pages and workers share a machine, colouring goes first
    engine = make_engine(settings.database)
    health, metrics, stopping = (
        Health("it starts", notify_socket=settings.notify_socket),
        WebMetrics(),
        threading.Event(),
    )
    proxy_networks(settings.web_proxy_addresses)
    with (
        MetricsServer(settings.metrics_address, settings.metrics_port, metrics.registry, health),
        _folder(settings) as folder,
    ):
        wait_for(lambda: check_up_to_date(engine), stopping, health.turn)
        expect_safe(engine, settings)
        context = Context(engine, settings, Identifier(engine, settings), Pictures(settings, folder))
        app = create_app(context, metrics)
        app.state.health = health
        watch = threading.Thread(target=_watch, args=(context, health, metrics, stopping), daemon=True, name="watch")
        watch.start()
        try:
            _serve(app, settings, announce)
        finally:
            stopping.set()
            watch.join()


def expect_safe(engine: Engine, settings: Settings) -> None:
    """Raises UsageError if everybody in the network would be the operator, or if nobody could sign in."""
    if is_loopback(settings.web_address) or (settings.web_proxy_addresses and settings.web_proxy_header):
        return
    with read_scope(engine) as session:
        if accounts.exist(session):
            return
    raise UsageError(
        f"photochrom web is set to listen on {settings.web_address}, but nobody has an account; add one first: "
        "photochrom users add NAME --role operator, or name the proxy that signs people in: "
        "PHOTOCHROM_WEB_PROXY_ADDRESSES"
    )


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    if settings.web_cache_folder is not None:
        yield settings.web_cache_folder
        return
    with own_folder("photochrom-web-", settings.scratch_folder) as folder:
        yield folder


def _watch(context: Context, health: Health, metrics: WebMetrics, stopping: threading.Event) -> None:
    """Keep the readiness up to date: the process is ready while the database answers."""
    while not stopping.is_set():
        try:
            with read_scope(context.engine) as session:
                session.execute(select(Job.id).limit(1))
            health.turn("")
        except PhotochromError as error:
            health.turn(error.message)
        metrics.cache_bytes.set(context.pictures.cache.bytes)
        stopping.wait(LOOK_SECONDS)


def _serve(app: object, settings: Settings, announce: Callable[[str], None]) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application
        host=settings.web_address,
        port=settings.web_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=64 << 10,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=30,
        http="h11",
        ws="none",
    )
    asyncio.run(_Server(config, announce).serve())


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._announce = announce

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but without sending the signal again at the end, because a requested stop is no failure."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            address = f"{self.config.host}:{self.config.port}"
            raise UsageError(
                f"can't listen on {address}; expected an address of this machine and a port that is free: set "
                "PHOTOCHROM_WEB_ADDRESS and PHOTOCHROM_WEB_PORT"
            ) from None
        if self.servers:
            port = self.servers[0].sockets[0].getsockname()[1]
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            self._announce(f"http://{host}:{port}")
