"""The scheduler's loop: leases, completed jobs, schedules, dispatch, once a round. Two at once are safe."""

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from db.migrations import check_up_to_date
from db.session import make_engine
from scheduler import leases
from scheduler.dispatch import Dispatcher
from scheduler.schedules import Beat
from worker.app import CONNECT_SECONDS, make_app
from worker.doorbell import Doorbell
from worker.errors import ServiceUnavailable
from worker.settings import Settings

logger = logging.getLogger(__name__)

LISTINGS_AT_ONCE = 2  # of nightly jobs; others wait their turn


def run_scheduler(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises at its start when a service can't be reached or the database is not migrated.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    engine = make_engine(settings.database_url.get_secret_value())
    check_up_to_date(engine)
    app = make_app(settings, answer_seconds=CONNECT_SECONDS)
    doorbell = Doorbell(app)
    doorbell.unread()
    dispatcher = Dispatcher(engine, doorbell, settings)
    logger.info("the scheduler runs, a round every %g s", settings.scheduler_round_seconds)
    with ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="listing") as executor:
        beat = Beat(app, engine, settings, executor)
        while not stopping.wait(settings.scheduler_round_seconds):
            try:
                run_round(engine, dispatcher, beat, settings)
            except ServiceUnavailable as error:
                logger.warning("%s; trying again", error)
        logger.info("the scheduler stops")
        beat.stop()


def run_round(engine: Engine, dispatcher: Dispatcher, beat: Beat, settings: Settings) -> None:
    """Raises ServiceUnavailable; whatever was left undone is done in a later round."""
    leases.expire(engine, chunk_attempts=settings.chunk_attempts)
    leases.complete_jobs(engine)
    # Before the dispatcher: schedules don't need the broker.
    beat.round()
    dispatcher.round()
