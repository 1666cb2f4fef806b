"""Seals bags soon after their jobs are completed, beside the scheduler's loop, and tries again after an error."""

import logging
import threading
import time
from concurrent.futures import Executor, Future

from sqlalchemy import Engine

from db.queries.jobs import lifecycle
from db.session import read_scope
from scheduler.integrity.bag import Sealer
from worker.errors import PhotochromError
from worker.settings.settings import Settings
from worker.storage import S3Options

AGAIN_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Sealing:
    """Call `round` often, and `stop` before the executor ends.

    If two schedulers seal a bag at the same time, they write the same.
    """

    def __init__(self, engine: Engine, settings: Settings, executor: Executor) -> None:
        self._engine, self._executor = engine, executor
        self._s3: S3Options = settings.s3_options
        self._stopping = threading.Event()
        self._under_way: Future[None] | None = None
        self._not_before: dict[int, float] = {}  # by job: time.monotonic() of the next try
        self._said: dict[int, str] = {}

    def round(self) -> None:
        """Begin to seal the bags that wait. Raises ServiceUnavailable."""
        if self._under_way is not None and not self._under_way.done():
            return
        with read_scope(self._engine) as session:
            waiting = [
                job_id for job_id in lifecycle.to_seal(session) if time.monotonic() >= self._not_before.get(job_id, 0)
            ]
        if waiting:
            self._under_way = self._executor.submit(self._seal_all, waiting)

    def stop(self) -> None:
        """Stop sealing. The next scheduler seals these bags from the beginning."""
        self._stopping.set()

    def _seal_all(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            if self._stopping.is_set():
                return
            try:
                sealed = Sealer(self._engine, s3=self._s3, stopping=self._stopping.is_set).seal(job_id)
                logger.info("job %d: %s", job_id, sealed.sentence())
            except PhotochromError as error:
                self._put_off(job_id, error.message)
            except Exception:
                logger.exception("job %d could not be sealed", job_id)
                self._put_off(job_id, "")

    def _put_off(self, job_id: int, reason: str) -> None:
        self._not_before[job_id] = time.monotonic() + AGAIN_SECONDS
        if reason and self._said.get(job_id) != reason:
            self._said[job_id] = reason
            logger.warning("job %d: %s", job_id, reason)
