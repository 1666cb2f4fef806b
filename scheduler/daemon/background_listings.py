"""Lists the sources of jobs that were submitted without waiting for it, beside the scheduler's loop."""

import logging
import threading
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.jobs import submissions
from db.queries.jobs.submissions import BackgroundListing
from db.session import session_scope
from scheduler.actions.submissions import submitter_of
from scheduler.holding import extended
from scheduler.submission.request import Submitted, submission_of
from worker.errors import CredentialsRefused, PhotochromError, ServiceUnavailable
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120.0  # after this silence, the listing goes to another scheduler
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30, 1800  # between tries while a service is away
TRIES = 12  # that fail, or in which the scheduler dies; a scheduler that stops in order takes its try back
AT_ONCE = 2  # listings of one scheduler; others wait, or another scheduler takes them


class _Stopping(Exception):
    """The scheduler stops in the middle of a listing."""


class BackgroundListings:
    """Call `round` often, and `stop` before the executor ends. If there are several schedulers, only one lists a job's
    source.
    """

    def __init__(self, engine: Engine, settings: Settings, executor: Executor) -> None:
        self._engine, self._settings, self._executor = engine, settings, executor
        self._stopping = threading.Event()
        self._at_work = list[Future[None]]()

    def round(self) -> None:
        """Start the listings that wait, and those whose scheduler has stopped responding: as many as can be done at
        once.

        Raises ServiceUnavailable.
        """
        self._at_work = [listing for listing in self._at_work if not listing.done()]
        free = AT_ONCE - len(self._at_work)
        if not free:
            return
        with session_scope(self._engine) as session:
            now = database_now(session)
            listings = submissions.take_waiting(session, free, now=now, lease_seconds=LEASE_SECONDS)
        for listing in listings:
            if listing.attempt.tries > TRIES:  # a listing that kills its scheduler is not repeated for ever
                self._give_up(listing, f"given up after {TRIES} tries: its scheduler died each time; see its log")
                continue
            holding = ExitStack()
            holding.enter_context(self._held(listing))
            self._at_work.append(self._executor.submit(partial(self._list, listing, holding)))

    def stop(self) -> None:
        """Listings end at their next page and are handed back, so that another scheduler can take them at once."""
        self._stopping.set()

    def _list(self, listing: BackgroundListing, holding: ExitStack) -> None:
        job_id = listing.attempt.job_id
        with holding:
            try:
                self._go_on(Submitted())
                logger.info("job %d: %s", job_id, self._submitted(listing).sentence())
            except _Stopping:
                self._hand_back(listing)
            except (ServiceUnavailable, CredentialsRefused) as error:  # somebody renews credentials that have expired
                self._try_again(listing, error.message)
            except PhotochromError as error:
                self._give_up(listing, error.message)
            except Exception as error:
                logger.exception("job %d met an unexpected error while it was listed; it is tried again", job_id)
                self._try_again(listing, f"{type(error).__name__}; see the scheduler's log")

    def _submitted(self, listing: BackgroundListing) -> Submitted:
        request = submission_of(listing.request)
        submitter = submitter_of(self._engine, self._settings, request, None, progress=self._go_on)
        submitted = submitter.go_on(request, listing.attempt)
        if not submitted.scans:
            submitted.job_id = None
            self._give_up(listing, submitted.sentence())
        return submitted

    def _go_on(self, _: Submitted) -> None:
        if self._stopping.is_set():
            raise _Stopping

    def _try_again(self, listing: BackgroundListing, problem: str) -> None:
        """List the source again after a pause, which doubles with each try."""
        if listing.attempt.tries >= TRIES:
            self._give_up(listing, f"given up after {TRIES} tries: {problem}")
            return
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (listing.attempt.tries - 1))
        logger.warning("job %d: its source can't be listed: %s; tried again", listing.attempt.job_id, problem)
        self._put_off(listing, problem, pause)

    def _hand_back(self, listing: BackgroundListing) -> None:
        try:
            with session_scope(self._engine) as session:
                submissions.hand_back(session, listing.attempt, now=database_now(session))
        except ServiceUnavailable as error:
            logger.warning("%s; its lease ends by itself", error)

    def _put_off(self, listing: BackgroundListing, problem: str, pause_seconds: float) -> None:
        try:
            with session_scope(self._engine) as session:
                until = database_now(session) + timedelta(seconds=pause_seconds)
                submissions.hold(session, listing.attempt, until=until, noted={"problem": problem})
        except ServiceUnavailable as error:
            logger.warning("%s; its lease ends by itself", error)

    def _give_up(self, listing: BackgroundListing, problem: str) -> None:
        """Cancel the job, unless a person has cancelled it or another scheduler continues the listing."""
        try:
            with session_scope(self._engine) as session:
                if submissions.give_up(session, listing.attempt, problem, now=database_now(session)):
                    logger.warning("job %d is cancelled: %s", listing.attempt.job_id, problem)
        except ServiceUnavailable as error:
            logger.warning("%s; its lease ends by itself", error)

    def _held(self, listing: BackgroundListing) -> AbstractContextManager[None]:
        """Extends the lease while the block runs: a large destination takes minutes before the first row."""

        def extend() -> bool:
            with session_scope(self._engine) as session:
                until = database_now(session) + timedelta(seconds=LEASE_SECONDS)
                return submissions.hold(session, listing.attempt, until=until)

        return extended(extend, LEASE_SECONDS / 4, "submission-lease")
