"""`photochrom worker`: starts the model server and Celery, watches both, and reports to the job database."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import utc_now
from db.migrations import check_up_to_date
from db.models import Worker
from db.queries import chunks, leases, workers
from db.session import make_engine, read_scope, session_scope
from worker.app import make_app
from worker.doorbell import Doorbell
from worker.errors import DatabaseUnavailable, ServiceUnavailable
from worker.inference.connection import ServerInfo
from worker.inference.process import ModelServerProcess
from worker.model.checkpoint import bundled_checkpoint_path, verify
from worker.runtime import Runtime, lives, machine_name, worker_lives
from worker.settings import Settings

logger = logging.getLogger(__name__)

MODEL_READY_SECONDS = 300
WATCH_SECONDS = 0.2


class Supervisor:
    """One worker. The parent of its model server and of Celery, and itself neither: it never loads TensorFlow,
    and never forks a process that has threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine = make_engine(settings.database_url.get_secret_value())
        self._stopping = threading.Event()
        self._runtime = Runtime.of_new_worker()
        self._model_server = ModelServerProcess(
            self._runtime.model_socket,
            checkpoint=settings.checkpoint or bundled_checkpoint_path(),
            batch_size=settings.batch_size,
            batch_wait_milliseconds=settings.batch_wait_milliseconds,
            stand_in_milliseconds=settings.stand_in_model_milliseconds,
        )
        self._celery: subprocess.Popen[bytes] | None = None
        # What to register with the first heartbeat: the database may be away when the model is ready.
        self._about: ServerInfo | None = None

    @property
    def name(self) -> str:
        return self._runtime.worker_name

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises CheckpointError, ServiceUnavailable or UsageError at its start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self._check()
        try:
            self._start()
            self._watch()
        finally:
            self._stop()

    def _check(self) -> None:
        if self._settings.stand_in_model_milliseconds is None:
            verify(self._settings.checkpoint or bundled_checkpoint_path())
        check_up_to_date(self._engine)
        Doorbell(make_app(self._settings)).unread()

    def _start(self) -> None:
        self._model_server.start()
        about = self._wait_for_model()
        if about is None:
            return
        self._celery = self._start_celery()
        self._about = about
        logger.info(
            "worker %s: %d children, checkpoint %s on %s",
            self.name,
            self._settings.children,
            about.checkpoint_id,
            about.device,
        )

    def _wait_for_model(self) -> ServerInfo | None:
        """The model server's words about itself, None when the worker is told to stop before it is ready."""
        deadline = time.monotonic() + MODEL_READY_SECONDS
        while not self._stopping.is_set():
            try:
                return self._model_server.wait_ready(timeout_seconds=0.5)
            except ServiceUnavailable:
                if time.monotonic() >= deadline:
                    raise
        return None

    def _start_celery(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--quiet", "--app", "worker.app", "worker"),
                *("--pool", "prefork", "--concurrency", str(self._settings.children)),
                *("--hostname", f"celery@{self.name}", "--queues", self._settings.queue),
                *("--without-gossip", "--without-mingle", "--loglevel", self._settings.log_level),
            ],
            env={**os.environ, **self._runtime.environment()},
            # Ctrl-C reaches the whole foreground group; only this process decides what it means.
            start_new_session=True,
        )

    def _watch(self) -> None:
        beat_at = 0.0
        while not self._stopping.wait(WATCH_SECONDS):
            self._model_server.poll()
            if self._celery and self._celery.poll() is not None:
                raise ServiceUnavailable(
                    f"Celery ended by itself with status {self._celery.returncode}; see its log above"
                )
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + self._settings.heartbeat_seconds
                self._beat()

    def _beat(self) -> None:
        try:
            with session_scope(self._engine) as session:
                if self._about is not None:
                    self._register(session, self._about)
                workers.beat(session, self.name, now=utc_now())
            self._about = None
            self._give_up_leases_of_the_dead()
        except DatabaseUnavailable as error:
            logger.warning("%s; trying again", error)

    def _register(self, session: Session, about: ServerInfo) -> None:
        now = utc_now()
        workers.register(
            session,
            Worker(
                name=self.name,
                children=self._settings.children,
                device=about.device,
                checkpoint=about.checkpoint_id,
                started_at=now,
                heartbeat_at=now,
            ),
        )

    def _give_up_leases_of_the_dead(self) -> None:
        """End the leases of children that died, at once: nobody has to wait until they expire.

        Those of workers on this machine that are gone too: one that was killed can't do it itself.
        """
        with read_scope(self._engine) as session:
            holders = chunks.holders(session, prefix=machine_name())
            gone = [holder for holder in holders if not lives(holder)]
            own = [holder for holder in gone if holder.startswith(f"{self.name}/")]
            orphans = [holder for holder in gone if not worker_lives(holder)]
            lost = [(message, True) for message in chunks.held_by(session, own)]
            lost += [(message, False) for message in chunks.held_by(session, orphans)]
        for message, child_died in lost:
            logger.warning("chunk %d: the %s that held it died", message.chunk_id, "child" if child_died else "worker")
            with session_scope(self._engine) as session:
                leases.give_up(
                    session,
                    message,
                    chunk_attempts=self._settings.chunk_attempts,
                    now=utc_now(),
                    child_died=child_died,
                )

    def _stop(self) -> None:
        self._runtime.drain()
        try:
            if self._celery:
                logger.info("worker %s stops: what is in hand is finished, the rest handed back", self.name)
                self._stop_celery(self._celery)
                with session_scope(self._engine) as session:
                    # What a child that had to be killed still held; it was no fault of the scans'.
                    for message in chunks.held_by(session, chunks.holders(session, prefix=f"{self.name}/")):
                        chunks.release(session, message, not_before=None)
                    workers.stop(session, self.name, now=utc_now())
        except DatabaseUnavailable as error:
            logger.warning("%s; the leases that are left will expire", error)
        finally:
            # Whatever it predicts now, nobody waits for.
            self._model_server.stop(kill_after_seconds=1)
            shutil.rmtree(self._runtime.folder, ignore_errors=True)

    def _stop_celery(self, celery: subprocess.Popen[bytes]) -> None:
        """A warm shutdown, in which the draining children end; after `drain_seconds` a cold one; then SIGKILL."""
        for number, seconds in (
            (signal.SIGTERM, self._settings.drain_seconds),
            (signal.SIGQUIT, 2),
            (signal.SIGKILL, 2),
        ):
            if celery.poll() is None:
                celery.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    celery.wait(seconds)
