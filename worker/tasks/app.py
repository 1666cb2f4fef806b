"""The Celery app: queue, transport and limits.

The broker only says that there is work; the job database is the truth.
"""

import warnings

from celery.exceptions import SecurityWarning
from celery.signals import celeryd_init, setup_logging, worker_init, worker_process_init

from worker.broker.app_factory import make_app
from worker.observability.logs import configure_logging
from worker.settings.settings import load_settings
from worker.system.parent_watch import end_with_parent
from worker.system.process_limits import limit_memory_and_files

ORPHAN_SECONDS = 2  # without its supervisor a worker has no model, so another worker should begin its chunks again


@celeryd_init.connect
def _run_as_root_without_a_sermon(**_: object) -> None:
    # The warning is about pickle, which is not accepted here; photochrom doctor warns of root.
    warnings.simplefilter("ignore", SecurityWarning)


@setup_logging.connect
def _log_like_every_process(**_: object) -> None:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)


@worker_init.connect
def _end_celery_with_its_parent(**_: object) -> None:
    end_with_parent(load_settings().parent_pid, grace_seconds=ORPHAN_SECONDS)


@worker_process_init.connect
def _end_child_with_celery(**_: object) -> None:
    # When Celery's main process is killed with SIGKILL, its children would continue with their chunks.
    end_with_parent(grace_seconds=ORPHAN_SECONDS)


@worker_process_init.connect
def _limit_child(**_: object) -> None:
    settings = load_settings()
    # An output has three channels of up to 16 bits, and the smaller copies of a pyramid.
    largest_file = max(settings.max_scan_bytes, 8 * settings.max_scan_pixels) + (1 << 30)
    limit_memory_and_files(in_flight_bytes=settings.in_flight_bytes, file_bytes=largest_file)


app = make_app(load_settings())
