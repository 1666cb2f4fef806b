"""What a Celery child holds for its whole life."""

from collections.abc import Callable

from billiard.process import current_process
from sqlalchemy import Engine

from db.models.jobs import Job
from db.session import make_engine
from worker.inference.client import PredictionClient
from worker.instance import Runtime
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.colorize import Pipeline
from worker.pipeline.signing import load_credentials
from worker.scans import ScanLimits, configure_libraries
from worker.settings.settings import Settings
from worker.storage import Storage, open_storage, parse_location
from worker.system.heap import FreedMemory
from worker.tasks.scan_pool import ScanPool

KEPT_STORAGES = 16  # each holds a pool of connections


def _number_of_this_child() -> int:
    """Celery's own, 0 for the first of its children; a child that takes another's place takes its number."""
    return int(getattr(current_process(), "index", 0))


class Child:
    """What one child process keeps from chunk to chunk. Made after the fork: nothing in it may cross one."""

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
        self.freed_memory = FreedMemory()
        self._storages: dict[str, Storage] = {}

    def storage(self, uri: str) -> Storage:
        if uri not in self._storages:
            if len(self._storages) >= KEPT_STORAGES:
                self._storages.clear()
            self._storages[uri] = open_storage(parse_location(uri), s3=self.settings.s3_options)
        return self._storages[uri]

    def pipeline(self, job: Job, *, still_held: Callable[[], bool] = lambda: True) -> Pipeline:
        return Pipeline(
            source=self.storage(job.source),
            destination=self.storage(job.destination),
            predict=self.model.predict,
            limits=self.limits,
            budget=self.budget,
            scratch_folder=self.settings.scratch_folder,
            find_borders=self.settings.find_film_borders,
            still_held=still_held,
            credentials=self.credentials,
        )
