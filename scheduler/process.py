"""The scheduler's loop: leases, dispatch, completed jobs, once a round. Two at once are safe."""

import logging
import signal
import threading

from sqlalchemy import Engine

from db.migrations import check_up_to_date
from db.session import make_engine
from scheduler import leases
from scheduler.dispatch import Dispatcher
from worker.app import CONNECT_SECONDS, make_app
from worker.doorbell import Doorbell
from worker.errors import ServiceUnavailable
from worker.settings import Settings

logger = logging.getLogger(__name__)


def run_scheduler(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises at its start when a service can't be reached or the database is not migrated.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    engine = make_engine(settings.database_url.get_secret_value())
    check_up_to_date(engine)
    doorbell = Doorbell(make_app(settings, answer_seconds=CONNECT_SECONDS))
    doorbell.unread()
    dispatcher = Dispatcher(engine, doorbell, settings)
    logger.info("the scheduler runs, a round every %g s", settings.scheduler_round_seconds)
    while not stopping.wait(settings.scheduler_round_seconds):
        try:
            run_round(engine, dispatcher, settings)
        except ServiceUnavailable as error:
            logger.warning("%s; trying again", error)
    logger.info("the scheduler stops")


def run_round(engine: Engine, dispatcher: Dispatcher, settings: Settings) -> None:
    """Raises ServiceUnavailable; whatever was left undone is done in a later round."""
    leases.expire(engine, chunk_attempts=settings.chunk_attempts)
    leases.complete_jobs(engine)
    dispatcher.round()
