"""Sends the notices of one receiver. Each receiver has its own thread, so a slow one does not delay the others."""

import logging
import threading
from datetime import timedelta

from sqlalchemy import Engine

from db.clock import database_now
from db.queries import notices
from db.session import session_scope
from scheduler.notices.receivers import Receiver
from worker.errors import PhotochromError, ServiceUnavailable
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)

# A claimed notice is free for another sender after this many times the longest wait for an answer.
ANSWERS_AWAITED = 6


class Sender:
    """Sends in a thread, which ends when no notice is due, or with the process."""

    def __init__(self, engine: Engine, settings: Settings, receiver: Receiver) -> None:
        self._engine, self._receiver = engine, receiver
        self._first_pause = timedelta(seconds=settings.notices_pause_seconds)
        self._sending = timedelta(seconds=ANSWERS_AWAITED * settings.notices_answer_seconds)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Send what is due in the thread, unless it is still running."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self.send_due, daemon=True, name=f"notices-{self._receiver.id}")
            self._thread.start()

    def stop(self) -> None:
        """Start no new notice."""
        self._stopping.set()

    def wait(self, seconds: float) -> None:
        """Wait for the notice that is being sent, at most `seconds`."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    def send_due(self) -> None:
        """Send the notices that are due, one after the other."""
        try:
            while not self._stopping.is_set() and self._send_one():
                pass
        except PhotochromError as error:
            logger.warning("notices: %s; tried again", error)
        except Exception:
            logger.exception("an unexpected error stopped the notices; they are tried again")

    def _send_one(self) -> bool:
        with session_scope(self._engine) as session:
            now = database_now(session)
            notice = notices.claim(session, self._receiver.id, now=now, sending=self._sending)
        if notice is None:
            return False
        problem = ""
        try:
            self._receiver.send(notice.event, notice.created_at, notice.content)
        except ServiceUnavailable as error:
            problem = f"{self._receiver.shown}: {error.message}"
            logger.warning("the notice %s was not received: %s", notice.event, problem)
        with session_scope(self._engine) as session:
            now = database_now(session)
            if problem:
                notices.failed(session, notice, problem, first_pause=self._first_pause, now=now)
            else:
                notices.sent(session, notice.id, now=now)
        return True
