"""`photochrom worker`: starts the model server and Celery, watches both, and reports to the job database."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress

from sqlalchemy import Engine

from db.migrations import WorkerSupport
from db.session import make_engine
from worker.broker.app_factory import CONNECT_SECONDS, make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import CheckpointError, PhotochromError, ServiceUnavailable, UsageError
from worker.inference.connection import ServerInfo
from worker.instance import Runtime
from worker.model.checkpoint import verify
from worker.observability.health import Health
from worker.observability.http_server import MetricsServer
from worker.observability.last_minute import Statistics
from worker.observability.logs import json_of
from worker.observability.scan_events import ScanEventListener
from worker.observability.worker_metrics import WorkerMetrics
from worker.pipeline.signing import check_credentials
from worker.settings.settings import Settings, without_secrets
from worker.supervision.celery_process import CeleryProcess
from worker.supervision.devices import devices_of, wanted_gpus
from worker.supervision.heartbeat import Heartbeat
from worker.supervision.model_server_process import ModelServerProcess
from worker.supervision.model_servers import ModelServers
from worker.supervision.spot_notice import StopNotice
from worker.system.machine import thread_variables
from worker.system.wait import wait_for

logger = logging.getLogger(__name__)

LOADING = "its model is loading"
MODEL_READY_SECONDS = 300
WATCH_SECONDS = 0.2
MODEL_STOP_SECONDS = 2.0
STATS_SECONDS = 1.0  # the model server must give its counters within this time


def run_worker(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT.

    At the start it waits until the database and the broker answer. Raises CheckpointError, ServiceUnavailable or
    UsageError, if possible before anything is started.
    """
    if settings.stand_in_model_milliseconds is None:
        verify(settings.checkpoint_folder)
    check_credentials(settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with Runtime.of_new_worker(settings.scratch_folder) as runtime:
        supervisor = Supervisor(settings, runtime, stopping)
        with supervisor.metrics_server(), supervisor.scan_event_listener():
            supervisor.run()


class Supervisor:
    """One worker: the parent of its model servers and of Celery.

    It never loads TensorFlow, and never forks while it has threads.
    """

    def __init__(self, settings: Settings, runtime: Runtime, stopping: threading.Event) -> None:
        self._settings = settings
        self._engine: Engine = make_engine(settings.database)
        self._stopping = stopping
        self._runtime = runtime
        devices = devices_of(settings.devices, settings.cuda_visible_devices)
        if len(devices) > settings.children:
            raise UsageError(
                f"there are {len(devices)} devices for {settings.children} children; "
                "expected a child for each at least: set PHOTOCHROM_CHILDREN, or PHOTOCHROM_DEVICES"
            )
        self._models = ModelServers(
            [self._model_server(number, device) for number, device in enumerate(devices)],
            only_on_gpus=settings.devices is None,
            wanted_gpus=wanted_gpus(settings.devices),
        )
        self._celery = CeleryProcess(
            runtime.worker_name,
            queue=settings.queue,
            children=settings.children,
            log_level=settings.log_level,
        )
        self._health = Health(LOADING, notify_socket=settings.notify_socket)
        self._metrics = WorkerMetrics()
        self._statistics = Statistics(self._metrics)
        self._heartbeat = Heartbeat(
            self._engine,
            runtime.worker_name,
            support=WorkerSupport(self._engine),
            children=settings.children,
            chunk_attempts=settings.chunk_attempts,
            statistics=self._statistics,
            metrics=self._metrics,
        )
        self._model_restarts = 0

    def _model_server(self, number: int, device: str | None) -> ModelServerProcess:
        settings = self._settings
        return ModelServerProcess(
            self._runtime.model_socket(number),
            settings.model_options,
            log_format=settings.log_format,
            environment={
                **thread_variables(),
                **without_secrets(os.environ),
                **({} if device is None else {"CUDA_VISIBLE_DEVICES": device}),
            },
            write=lambda line: os.write(2, json_of(line) if settings.log_format == "json" else line),
            hangs_after_seconds=settings.model_batch_seconds,
            ready_seconds=MODEL_READY_SECONDS,
        )

    @property
    def name(self) -> str:
        return self._runtime.worker_name

    def metrics_server(self) -> MetricsServer:
        """Raises UsageError."""
        settings = self._settings
        return MetricsServer(settings.metrics_address, settings.metrics_port, self._metrics.registry, self._health)

    def scan_event_listener(self) -> ScanEventListener:
        return ScanEventListener(self._runtime.scan_event_socket, self._statistics.count)

    def run(self) -> None:
        """Run until a signal. Raises CheckpointError, ServiceUnavailable or UsageError if it can't continue."""
        if self._settings.stop_notice is not None:
            StopNotice(self._settings.stop_notice, self._settings.stop_notice_seconds, self._heed).start()
        try:
            self._start()
            self._watch()
        finally:
            self._stop()

    def _heed(self, notice: str) -> None:
        logger.warning("this machine will be taken away (%s): the worker stops as at SIGTERM", notice)
        self._stopping.set()

    def _start(self) -> None:
        self._wait_for_services()
        if self._stopping.is_set():
            return
        self._models.start()
        server_info = self._wait_for_model()
        if server_info is None:
            return
        threads = self._settings.threads_for(server_info.batch_size, len(self._models))
        self._celery.start(
            {
                **self._runtime.environment(),
                "PHOTOCHROM_MODEL_SERVERS": str(len(self._models)),
                "PHOTOCHROM_THREADS_PER_CHILD": str(threads),
            }
        )
        self._heartbeat.register(server_info)
        self._metrics.describe(
            self.name,
            checkpoint_id=server_info.checkpoint_id,
            device=server_info.device,
            children=self._settings.children,
        )
        logger.info(
            "worker %s: %d children of %d threads, checkpoint %s, head %s, embedding %s; %d x %s, in %s, batches of %d",
            self.name,
            self._settings.children,
            threads,
            server_info.checkpoint_id,
            server_info.head,
            server_info.embedding,
            len(self._models),
            server_info.device,
            server_info.precision,
            server_info.batch_size,
        )

    def _wait_for_services(self) -> None:
        wait_for(self._heartbeat.check_support, self._stopping, self._health.turn)
        queue = ChunkQueue(make_app(self._settings, answer_seconds=CONNECT_SECONDS))
        wait_for(queue.depth, self._stopping, self._health.turn)
        self._health.turn(LOADING)

    def _wait_for_model(self) -> ServerInfo | None:
        """Wait for the model server's information; None if the worker must stop before."""
        deadline = time.monotonic() + MODEL_READY_SECONDS
        while not self._stopping.is_set():
            self._health.turn()
            try:
                return self._models.wait_ready(timeout_seconds=0.5)
            except ServiceUnavailable:
                if time.monotonic() >= deadline:
                    raise
        return None

    def _watch(self) -> None:
        beat_at = 0.0
        while not self._stopping.wait(WATCH_SECONDS):
            self._health.turn()
            self._models.poll()
            if self._runtime.is_draining():
                raise UsageError(self._runtime.drain_reason())
            self._metrics.celery_restarts.inc(self._celery.keep_running())
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + self._settings.heartbeat_seconds
                self._health.turn(
                    "; ".join(filter(None, (self._ask_model(), self._celery_problem(), self._heartbeat.beat())))
                )

    def _celery_problem(self) -> str:
        return "its Celery is being started again" if self._celery.pid is None else ""

    def _ask_model(self) -> str:
        """Read the model server's counters. Returns "", or the reason if there are none."""
        self._metrics.model_restarts.inc(self._models.restarts - self._model_restarts)
        self._model_restarts = self._models.restarts
        try:
            self._statistics.ask_model(lambda: self._models.counters(STATS_SECONDS), devices=len(self._models))
        except ServiceUnavailable as error:
            return error.message
        return ""

    def _stop(self) -> None:
        """Stop within `drain_seconds`: scans at work are finished, the others are handed back."""
        deadline = time.monotonic() + self._settings.drain_seconds
        if not self._runtime.is_draining():
            self._runtime.drain()
        self._metrics.draining.set(1)
        self._health.turn("it is draining")
        try:
            if self._celery.was_started:
                logger.info("worker %s stops: scans at work are finished, the others are handed back", self.name)
                self._celery.stop(deadline - MODEL_STOP_SECONDS, self._while_celery_ends)
                self._heartbeat.sign_off()
        except PhotochromError as error:  # the database is away, or no longer supports this worker
            logger.warning("%s; the leases that are left will expire", error)
        finally:
            self._models.stop(kill_after_seconds=MODEL_STOP_SECONDS)

    def _while_celery_ends(self) -> None:
        self._health.turn()
        # Draining children still need predictions, so the model server stops last.
        with suppress(CheckpointError):
            self._models.poll()
