"""Keeps the broker's queue short: a few chunks for each child of the running workers, urgent jobs first."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.queries.chunks import dispatch
from db.queries.chunks.claims import ChunkMessage
from db.queries.pool import workers
from db.session import read_scope, session_scope
from worker.broker.chunk_queue import ChunkQueue
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)

# (job id, priority, waiting chunks, chunks with the broker or a worker), the most urgent first
Waiting = tuple[int, int, int, int]


def share(places: int, jobs: list[Waiting], queued: Sequence[tuple[int, int]] = ()) -> dict[int, int]:
    """By job: how many chunks to dispatch, if the broker may have `places` chunks and has `queued`.

    queued: (priority, chunks) of each job. A more urgent job takes all the places that it can use, also the places of
    less urgent chunks that are queued. Jobs of the same priority get the same number of chunks at work.
    """
    shares: dict[int, int] = {}
    for priority, group in groupby(jobs, key=lambda job: job[1]):
        equals = list(group)
        room = places - sum(shares.values()) - sum(count for other, count in queued if other >= priority)
        while room > 0:
            usable = [job for job in equals if shares.get(job[0], 0) < job[2]]
            if not usable:
                break
            fewest_out = min(usable, key=lambda job: (job[3] + shares.get(job[0], 0), job[0]))
            shares[fewest_out[0]] = shares.get(fewest_out[0], 0) + 1
            room -= 1
    return shares


class Dispatcher:
    def __init__(self, engine: Engine, queue: ChunkQueue, settings: Settings) -> None:
        self._engine = engine
        self._queue = queue
        self._settings = settings

    def round(self) -> int:
        """Send as many chunks as there is room for, and send lost ones again. Returns how many messages.

        Raises ServiceUnavailable. Chunks that were marked as sent and were not are sent again in a later round.
        """
        messages = self._take()
        self._queue.publish(messages)
        return len(messages) + self._resend()

    def _take(self) -> list[ChunkMessage]:
        with read_scope(self._engine) as session:
            now = database_now(session)
            places = self._places(session, now)
            waiting = dispatch.waiting_by_job(session, now=now, limit=places, heard_after=self._heard_after(now))
            queued = dispatch.queued_by_job(session)
        shares = share(places, waiting, queued)
        if not shares:
            return []
        too_many = sum(shares.values()) + sum(count for _, count in queued) - places
        most_urgent = waiting[0][1]
        messages = []
        with session_scope(self._engine) as session:
            if too_many > 0:
                dispatch.take_back(session, too_many, below_priority=most_urgent)
            for job_id, count in shares.items():
                messages += dispatch.take_for_dispatch(session, job_id, count, now=now)
        return messages

    def _places(self, session: Session, now: datetime) -> int:
        """How many chunks may be with the broker."""
        return (
            workers.live_children(session, heard_after=self._heard_after(now)) * self._settings.queue_chunks_per_child
        )

    def _heard_after(self, now: datetime) -> datetime:
        return now - timedelta(seconds=self._settings.silent_seconds)

    def _resend(self) -> int:
        """Send chunks again that the broker no longer has.

        Each waiting message stands for one queued chunk. If more chunks than that have been queued for longer than
        sending takes, the broker has lost some.
        """
        with read_scope(self._engine) as session:
            now = database_now(session)
            old = now - timedelta(seconds=self._settings.resend_seconds)
            overdue = dispatch.queued_count(session, queued_before=old)
        lost = overdue - self._queue.depth() if overdue else 0
        if lost <= 0:
            return 0
        with session_scope(self._engine) as session:
            messages = dispatch.take_for_resend(session, lost, queued_before=old, now=now)
        self._queue.publish(messages)
        if messages:
            logger.warning("sent %d chunks again that the broker had lost", len(messages))
        return len(messages)
