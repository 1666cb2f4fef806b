"""Makes one row for each event and receiver, and sends each row until it is received."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.queries import notices
from db.session import read_scope, session_scope
from scheduler.notices.events import DIGESTS, Event, Occurrence, digest, digest_name, recent_events
from scheduler.notices.receivers import receivers
from scheduler.notices.sender import Sender
from worker.settings.settings import Settings

LOOK_SECONDS = 5.0
STOP_SECONDS = 5.0  # for notices that are being sent; the next scheduler sends those that are not received by then
# A transaction that ends a job may become visible this much later than the time that it wrote into the job's row.
SEEN_AFTER = timedelta(minutes=10)


class Outbox:
    """Each scheduler calls `round`. If there are several schedulers, only one adds a row, and only one sends it."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._senders = {receiver.id: Sender(engine, settings, receiver) for receiver in receivers(settings)}
        self._look_at = 0.0
        self._looked_at: datetime | None = None  # the database's time at the last complete look

    def round(self) -> None:
        """Raises ServiceUnavailable."""
        if not self._senders or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        self.collect()
        for sender in self._senders.values():
            sender.start()

    def stop(self) -> None:
        """Start no new notices, and wait at most STOP_SECONDS for those that are being sent."""
        deadline = time.monotonic() + STOP_SECONDS
        for sender in self._senders.values():
            sender.stop()
        for sender in self._senders.values():
            sender.wait(deadline - time.monotonic())

    def send_due(self) -> None:
        """Send the notices that are due, to one receiver after the other."""
        for sender in self._senders.values():
            sender.send_due()

    def collect(self) -> None:
        """Add a row for each receiver of each event that has none yet.

        The first look covers the last day, each later one the time since the look before it.
        """
        with read_scope(self._engine) as session:
            now = database_now(session)
            since = self._looked_at - SEEN_AFTER if self._looked_at else None
            missing = list(self._without_a_row(session, list(recent_events(session, now, since=since))))
            missing += self._digests(session, now)
        for event, receiver in missing:
            self.add(event, receiver, now)
        self._looked_at = now

    def _without_a_row(self, session: Session, occurrences: list[Occurrence]) -> Iterator[tuple[Event, str]]:
        names = [occurrence.name for occurrence in occurrences]
        recorded = {receiver: notices.known(session, names, receiver) for receiver in self._senders}
        for occurrence in occurrences:
            missing = [receiver for receiver in self._senders if occurrence.name not in recorded[receiver]]
            event = occurrence.event() if missing else None
            if event is not None:
                yield from ((event, receiver) for receiver in missing)

    def _digests(self, session: Session, now: datetime) -> Iterator[tuple[Event, str]]:
        """Today's digest for each receiver that has none yet. It begins where the receiver's previous one ended."""
        hour = self._settings.notices_digest_hour
        if hour is None or now.hour < hour:
            return
        for receiver in self._senders:
            if not notices.known(session, [digest_name(now)], receiver):
                before = notices.last_added(session, receiver, DIGESTS)
                yield digest(session, now, since=before - SEEN_AFTER if before else None), receiver

    def add(self, event: Event, receiver: str, now: datetime) -> None:
        """Raises ServiceUnavailable."""
        with session_scope(self._engine) as session:
            notices.add(session, event.name, receiver, event.content(self._settings.web_url), now=now)
