"""The last step before an output is stored: is the chunk still this attempt's?"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.scans import leases
from db.session import question_scope, session_scope
from worker.errors import DatabaseUnavailable, LeaseLost
from worker.system.boot_clock import boot_seconds
from worker.tasks.lease import Lease

logger = logging.getLogger(__name__)

# The database's answer is used for this long, because an upload asks before every block. A record counts as an answer
# too, so a child asks at most once for each of its records. In so short a time, it can't happen that a database fails
# over and that another worker then gets the chunk, colours a scan and stores it.
FRESH_SECONDS = 1.0
_PAUSE_SECONDS = 0.5  # between two questions while the database does not answer


class Fence:
    """The lease of one attempt, as the job database has it.

    The child's own clock is not enough. After a failover to a database whose clock is ahead, or after a step of this
    machine's clock with SQLite, the lease is over there earlier than here, and another worker may have the chunk. So
    the database is asked. It may be used from several threads, which share one connection and one answer.
    """

    def __init__(self, engine: Engine, message: ChunkMessage, lease: Lease, lease_seconds: float) -> None:
        self._engine, self._message = engine, message
        self._lease, self._lease_seconds = lease, lease_seconds
        self._confirmed_at = float("-inf")  # when the last question with the answer yes began
        self._asking = threading.Lock()

    def is_held(self) -> bool:
        """Whether no other worker can have the chunk. Waits for the database, at most until the lease ends here."""
        with self._asking:
            while self._lease.is_held() and boot_seconds() - self._confirmed_at >= FRESH_SECONDS:
                try:
                    self._ask()
                except LeaseLost as error:
                    logger.warning("%s; its outputs are not stored", error)
                    self._lease.lose()
                except DatabaseUnavailable:
                    time.sleep(_PAUSE_SECONDS)
            return self._lease.is_held()

    @contextmanager
    def extending(self) -> Iterator[None]:
        """The block extends the lease in the database. If it raises LeaseLost, the lease is lost here too."""
        with self._asking:
            asked_at = boot_seconds()
            try:
                yield
            except LeaseLost:
                # Threads still work on scans of the chunk. From here on they store nothing.
                self._lease.lose()
                raise
            self._extended(asked_at)

    def _ask(self) -> None:
        asked_at = boot_seconds()
        with question_scope(self._engine) as session:
            left = leases.seconds_left(session, self._message)
        # With each record, more than half of the lease is left. If less is left, the two clocks disagree, and the lease
        # may end during an upload.
        if left >= self._lease_seconds / 2:
            self._confirmed_at = asked_at
            return
        with session_scope(self._engine) as session:
            now = database_now(session)
            claims.extend(session, self._message, lease_seconds=self._lease_seconds, now=now)
        self._extended(asked_at)

    def _extended(self, asked_at: float) -> None:
        self._lease.extend(asked_at)
        self._confirmed_at = asked_at
