"""Makes rows of events, and sends rows to receivers: each once, and again until it is received."""

import logging
import time
from concurrent.futures import Executor, Future
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.queries import notices
from db.session import read_scope, session_scope
from scheduler.notices.events import Event, digest, recent_events
from scheduler.notices.receivers import Receiver, receivers
from worker.errors import PhotochromError, ServiceUnavailable
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class Outbox:
    """Each scheduler calls `round`. Of several schedulers, one adds a row, and one sends it.

    Sending has its own thread, so that a receiver that does not answer does not delay the dispatching.
    """

    def __init__(self, engine: Engine, settings: Settings, executor: Executor) -> None:
        self._engine, self._settings, self._executor = engine, settings, executor
        self._receivers = {receiver.id: receiver for receiver in receivers(settings)}
        self._look_at = 0.0
        self._sending: Future[None] | None = None

    def round(self) -> None:
        """Raises ServiceUnavailable."""
        if not self._receivers or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        self.collect()
        if self._sending is None or self._sending.done():
            self._sending = self._executor.submit(self.send_due)

    def collect(self) -> None:
        """Add a row for each pair of event and receiver that has none."""
        with read_scope(self._engine) as session:
            now = database_now(session)
            events = list(recent_events(session, now)) + self._digest(session, now)
            names = [event.name for event in events]
            recorded = {receiver: notices.known(session, names, receiver) for receiver in self._receivers}
        for event in events:
            for receiver in self._receivers:
                if event.name not in recorded[receiver]:
                    self._add(event, receiver, now)

    def _digest(self, session: Session, now: datetime) -> list[Event]:
        hour = self._settings.notices_digest_hour
        return [digest(session, now)] if hour is not None and now.hour >= hour else []

    def _add(self, event: Event, receiver: str, now: datetime) -> None:
        with session_scope(self._engine) as session:
            notices.add(session, event.name, receiver, event.content(self._settings.web_url), now=now)

    def send_due(self) -> None:
        """Send the notices that are due, one after the other."""
        try:
            while self._send_one():
                pass
        except PhotochromError as error:
            logger.warning("notices: %s; tried again", error)
        except Exception:
            logger.exception("notices met an unexpected error; they are tried again")

    def _send_one(self) -> bool:
        with session_scope(self._engine) as session:
            notice = notices.claim(session, list(self._receivers), now=database_now(session))
        if notice is None:
            return False
        receiver: Receiver = self._receivers[notice.receiver]
        problem = ""
        try:
            receiver.send(notice.event, notice.created_at, notice.content)
        except ServiceUnavailable as error:
            problem = f"{receiver.shown}: {error.message}"
            logger.warning("the notice %s was not received: %s", notice.event, problem)
        with session_scope(self._engine) as session:
            now = database_now(session)
            if problem:
                notices.failed(session, notice, problem, now=now)
            else:
                notices.sent(session, notice.id, now=now)
        return True
