"""A worker's entries in the job database: its row, its heartbeats, and the leases of processes that died on its
machine.
"""

import logging

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.migrations import WorkerSupport
from db.models.pool import Worker
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.pool import workers
from db.queries.scans import leases
from db.session import read_scope, session_scope
from worker.errors import DatabaseUnavailable
from worker.inference.connection import ServerInfo
from worker.observability.last_minute import Statistics
from worker.observability.worker_metrics import WorkerMetrics
from worker.system.process_names import lives, machine_name, worker_lives

logger = logging.getLogger(__name__)


class Heartbeat:
    """Used by one thread of the worker's main process.

    support: asked whether the database still supports this worker. chunk_attempts: leases that a chunk may lose before
    its scans fail.
    """

    def __init__(
        self,
        engine: Engine,
        worker_name: str,
        *,
        support: WorkerSupport,
        children: int,
        chunk_attempts: int,
        statistics: Statistics,
        metrics: WorkerMetrics,
    ) -> None:
        self._engine, self._name, self._support = engine, worker_name, support
        self._newer_database = ""  # the sentence about it that was logged last
        self._children, self._chunk_attempts = children, chunk_attempts
        self._statistics, self._metrics = statistics, metrics
        self._unregistered: ServerInfo | None = None

    def check_support(self) -> None:
        """Raises UsageError if the database does not support this worker, and DatabaseUnavailable."""
        self._log_once(self._support.check_at_start())

    def register(self, model: ServerInfo) -> None:
        """Add the worker's row with the next heartbeat that reaches the database."""
        self._unregistered = model

    def beat(self) -> str:
        """Report that this worker is running, and what it did.

        Returns "", or the reason if the database could not be reached. Raises UsageError if the database was upgraded
        and no longer supports this worker.
        """
        try:
            with session_scope(self._engine) as session:
                # Before anything is written, because a statement for the old tables may fail with a lesser reason.
                self._log_once(self._support.check_again(session))
                if self._unregistered is not None:
                    self._add_row(session, self._unregistered)
                workers.beat(session, self._name, now=database_now(session), statistics=self._statistics.columns())
            self._unregistered = None
            self._give_up_leases_of_the_dead()
        except DatabaseUnavailable as error:
            logger.warning("%s; trying again", error)
            self._metrics.heartbeat_failures.inc()
            return error.message
        return ""

    def sign_off(self) -> None:
        """Release the chunks of children that have ended, so that nobody waits for their leases, and mark the worker as
        stopped.

        A child that still runs keeps its lease until it expires, because it could still store a scan. Raises
        DatabaseUnavailable.
        """
        with session_scope(self._engine) as session:
            holders = claims.holders(session, prefix=f"{self._name}/")
            running = [holder for holder in holders if lives(holder)]
            if running:
                logger.warning("%d children did not end; their leases will expire", len(running))
            for message in claims.held_by(session, [holder for holder in holders if holder not in running]):
                claims.release(session, message, not_before=None)
            now = database_now(session)
            workers.beat(session, self._name, now=now, statistics=self._statistics.columns())
            workers.stop(session, self._name, now=now)

    def _log_once(self, newer_database: str) -> None:
        if newer_database and newer_database != self._newer_database:
            logger.warning("%s", newer_database)
        self._newer_database = newer_database

    def _add_row(self, session: Session, model: ServerInfo) -> None:
        now = database_now(session)
        row = Worker(
            name=self._name,
            children=self._children,
            device=model.device,
            checkpoint=model.checkpoint_id,
            revision=self._support.head,
            started_at=now,
            heartbeat_at=now,
        )
        workers.register(session, row)

    def _give_up_leases_of_the_dead(self) -> None:
        """End the leases of children that died, and of killed workers on this machine."""
        with read_scope(self._engine) as session:
            holders = claims.holders(session, prefix=machine_name())
            dead = [holder for holder in holders if not lives(holder)]
            children = [holder for holder in dead if holder.startswith(f"{self._name}/")]
            orphans = [holder for holder in dead if not worker_lives(holder)]
            lost = [(message, True) for message in claims.held_by(session, children)]
            lost += [(message, False) for message in claims.held_by(session, orphans)]
        for message, child_died in lost:
            self._give_up(message, child_died=child_died)

    def _give_up(self, message: ChunkMessage, *, child_died: bool) -> None:
        holder = "child" if child_died else "worker"
        logger.warning(
            "chunk %d: the %s that held it died", message.chunk_id, holder, extra={"chunk": message.chunk_id}
        )
        self._metrics.dead_leases.inc()
        with session_scope(self._engine) as session:
            leases.give_up(
                session,
                message,
                chunk_attempts=self._chunk_attempts,
                now=database_now(session),
                child_died=child_died,
            )
