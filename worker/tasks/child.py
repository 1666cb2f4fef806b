"""What a Celery child keeps from chunk to chunk."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from billiard.process import current_process
from sqlalchemy import Engine

from db.models.jobs import Job
from db.session import make_engine
from worker.errors import CredentialsRefused, ServiceUnavailable, UsageError
from worker.inference.client import PredictionClient
from worker.instance import Runtime
from worker.model.checkpoint import Card, read_card
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.colorize import Pipeline
from worker.pipeline.measurements import no_span
from worker.pipeline.signing import load_credentials
from worker.scans import ScanLimits, configure_libraries
from worker.settings.settings import Settings
from worker.storage import Storage, open_storage, parse_location
from worker.system.heap import FreedMemory
from worker.system.wait import try_until
from worker.tasks.scan_pool import ScanPool

logger = logging.getLogger(__name__)

KEPT_STORAGES = 16  # each has a pool of connections


def _number_of_this_child() -> int:
    """Celery's number of this child: 0 for the first one. A child that replaces another takes its number."""
    return int(getattr(current_process(), "index", 0))


def _span_maker(settings: Settings, engine: Engine) -> Callable[[str], AbstractContextManager[object]]:
    if not settings.traces:
        return no_span
    from worker.observability.tracing import Tracing  # its packages come with an extra

    return Tracing("photochrom-worker", engine).span


def _card(settings: Settings) -> Card | None:
    """The checkpoint's card; None for the stand-in model. Raises CheckpointError."""
    return read_card(settings.checkpoint_folder) if settings.stand_in_model_milliseconds is None else None


class Child:
    """What one child process keeps from chunk to chunk.

    It is made after the fork, because nothing in it works after one.
    """

    def __init__(self, settings: Settings) -> None:
        configure_libraries()
        self.settings = settings
        self.runtime = Runtime.of_this_worker(settings)
        self.holder = self.runtime.holder()
        self.engine: Engine = make_engine(settings.database)
        self.scan_pool = ScanPool(settings.threads_for())
        self.budget = ByteBudget(settings.in_flight_bytes)
        self.model = PredictionClient(
            self.runtime.model_socket(_number_of_this_child() % settings.model_servers),
            slots=settings.threads_for(),
            timeout_seconds=settings.model_timeout_seconds,
        )
        self.limits = ScanLimits(
            max_bytes=settings.max_scan_bytes, max_pixels=settings.max_scan_pixels, max_pages=settings.max_scan_pages
        )
        self.credentials = load_credentials(settings)
        self.card = _card(settings) if self.credentials else None
        self.span = _span_maker(settings, self.engine)
        self.freed_memory = FreedMemory()
        self._storages: dict[tuple[str, bool], Storage] = {}
        self._refusing: set[str] = set()
        self._sleep: Callable[[float], None] = time.sleep

    def storage(self, uri: str, *, is_source: bool = False) -> Storage:
        s3 = self.settings.s3_options
        name = uri, is_source and s3.unsigned
        if name not in self._storages:
            if len(self._storages) >= KEPT_STORAGES:
                self._storages.clear()
            self._storages[name] = open_storage(parse_location(uri), s3=s3, is_source=is_source)
        return self._storages[name]

    def expect_access(self, *uris: str) -> None:
        """Record that these stores have refused the worker's credentials. No chunk is taken until they accept them."""
        self._refusing.update(uris)

    def wait_for_access(self) -> None:
        """Wait until the stores that refused the worker's credentials accept them, or until the worker drains.

        A store that knows the credentials but does not let them list accepts them, because reading and storing need no
        listing.
        """
        for uri in sorted(self._refusing):
            accepted = try_until(
                self.runtime.is_draining,
                partial(self._check_access, uri),
                (CredentialsRefused, ServiceUnavailable),
                refused=lambda sentence: logger.error("%s; this worker takes no chunks until that is mended", sentence),
                sleep=self._sleep,
            )
            if accepted:
                self._refusing.discard(uri)

    def _check_access(self, uri: str) -> None:
        """Raises CredentialsRefused or ServiceUnavailable while a store does not accept this worker's credentials."""
        try:
            self._storages.pop((uri, False), None)  # a newly opened storage reads the credentials again
            self.storage(uri).check()
        except CredentialsRefused:
            raise
        except UsageError as error:
            logger.warning("%s; its credentials are accepted", error.message)

    def pipeline(
        self,
        job: Job,
        *,
        still_held: Callable[[], bool] = lambda: True,
        wait_to_store: Callable[[], bool] = lambda: False,
    ) -> Pipeline:
        return Pipeline(
            source=self.storage(job.source, is_source=True),
            destination=self.storage(job.destination),
            predict=self.model.predict,
            limits=self.limits,
            budget=self.budget,
            scratch_folder=self.settings.scratch_folder,
            find_borders=self.settings.find_film_borders,
            still_held=still_held,
            wait_to_store=wait_to_store,
            credentials=self.credentials,
            card=self.card,
            span=self.span,
        )
