"""Writes each job's report into its destination as soon as the job has ended."""

import logging
from concurrent.futures import Executor, Future
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import Engine

from db.clock import database_now
from db.errors import PhotochromError, ServiceUnavailable
from db.queries.reports import due
from db.session import session_scope
from worker.errors import ScanError
from worker.extras import is_installed
from worker.settings.settings import Settings

logger = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(minutes=5)  # if a store does not answer, or a scheduler was killed while it wrote the report


class Reporter:
    """Writes one report at a time, because a report may hold many pictures.

    If there are several schedulers, the one that claims a report writes it.
    """

    def __init__(self, engine: Engine, settings: Settings, executor: Executor) -> None:
        self._engine, self._settings, self._executor = engine, settings, executor
        self._writing: Future[None] | None = None
        self._writes = settings.write_reports and is_installed("matplotlib")
        if settings.write_reports and not self._writes:
            logger.warning("no reports are written here: that takes photochrom[report], here or at another scheduler")

    def round(self) -> None:
        """Begin a report if one is due. Raises ServiceUnavailable."""
        if not self._writes or (self._writing and not self._writing.done()):
            return
        with session_scope(self._engine) as session:
            now = database_now(session)
            job_id = due.claim(session, now=now, until=now + AGAIN_AFTER)
        if job_id is not None:
            self._writing = self._executor.submit(self._write, job_id, now + AGAIN_AFTER)

    def _write(self, job_id: int, claimed_until: datetime) -> None:
        # Loads 50 MB of plotting code, which an idle scheduler does not need.
        from scheduler.report.store import store_report

        try:
            key = store_report(self._engine, job_id, self._settings)
            with session_scope(self._engine) as session:
                due.written(session, job_id, key, claimed_until=claimed_until)
            logger.info("the report of job %d is in its destination: %s", job_id, key)
        except PhotochromError as error:
            logger.warning("the report of job %d is tried again: %s", job_id, error)
            if isinstance(error, ServiceUnavailable) or (isinstance(error, ScanError) and not error.permanent):
                self._put_off(job_id)
        except Exception:
            logger.exception("the report of job %d met an unexpected error; it is tried again", job_id)

    def _put_off(self, job_id: int) -> None:
        with suppress(ServiceUnavailable), session_scope(self._engine) as session:
            due.put_off(session, job_id)
