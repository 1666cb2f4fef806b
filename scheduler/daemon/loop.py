"""The scheduler's loop. Each round looks after leases, jobs, schedules, reports, bags and dispatch.

Two schedulers are safe.
"""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Engine

from db.migrations import check_up_to_date
from db.session import make_engine
from scheduler.daemon import background_listings, lease_expiry
from scheduler.daemon.background_listings import BackgroundListings
from scheduler.daemon.backlog_metrics import BacklogMetrics
from scheduler.daemon.bag_sealer import Sealing
from scheduler.daemon.dispatcher import Dispatcher
from scheduler.daemon.heartbeat import SchedulerHeartbeat
from scheduler.daemon.metrics import SchedulerMetrics
from scheduler.daemon.report_writer import Reporter
from scheduler.schedules import runner
from scheduler.schedules.runner import ScheduleRunner
from worker.broker.app_factory import CONNECT_SECONDS, make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import ServiceUnavailable
from worker.observability.health import Health
from worker.observability.http_server import MetricsServer
from worker.settings.settings import Settings
from worker.system.wait import wait_for

logger = logging.getLogger(__name__)


class Rounds(Protocol):
    """Something that has work to do in each round."""

    def round(self) -> object: ...


def run_scheduler(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    At the start it waits until the database and the broker answer. Raises UsageError if the database is not migrated.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    engine = make_engine(settings.database)
    app = make_app(settings, answer_seconds=CONNECT_SECONDS)
    _trace(engine, settings)
    queue = ChunkQueue(app)
    health = Health("no round has ended", notify_socket=settings.notify_socket)
    backlog_metrics = BacklogMetrics(engine, queue, settings)
    dispatcher, heartbeat = Dispatcher(engine, queue, settings), SchedulerHeartbeat(engine, settings.heartbeat_seconds)
    with MetricsServer(settings.metrics_address, settings.metrics_port, backlog_metrics.metrics.registry, health):
        wait_for(lambda: check_up_to_date(engine), stopping, health.turn)
        wait_for(queue.depth, stopping, health.turn)
        if stopping.is_set():
            return
        logger.info("the scheduler runs, a round every %g s", settings.scheduler_round_seconds)
        with _rounds(engine, settings) as rounds:
            while not stopping.wait(settings.scheduler_round_seconds):
                health.turn(_round(engine, dispatcher, rounds, settings, backlog_metrics, heartbeat))
            logger.info("the scheduler stops")
    heartbeat.stop()


def _trace(engine: Engine, settings: Settings) -> None:
    if settings.traces:
        from worker.observability.tracing import Tracing  # its packages come with an extra

        Tracing("photochrom-scheduler", engine)


@contextmanager
def _rounds(engine: Engine, settings: Settings) -> Iterator[tuple[Rounds, ...]]:
    """The long tasks that have a turn in every round. Each one works in its own threads and is stopped at the end."""
    with (
        ThreadPoolExecutor(runner.AT_ONCE, thread_name_prefix="listing") as listing,
        ThreadPoolExecutor(background_listings.AT_ONCE, thread_name_prefix="submission") as submitting,
        ThreadPoolExecutor(1, thread_name_prefix="report") as reporting,
        ThreadPoolExecutor(1, thread_name_prefix="sealing") as alone,
    ):
        schedule_runner, sealing = ScheduleRunner(engine, settings, listing), Sealing(engine, settings, alone)
        background, outboxes = BackgroundListings(engine, settings, submitting), _outboxes(engine, settings)
        yield schedule_runner, Reporter(engine, settings, reporting), sealing, background, *outboxes
        schedule_runner.stop()
        sealing.stop()
        background.stop()
        for outbox in outboxes:
            outbox.stop()


class Outboxes(Rounds, Protocol):
    """Something that sends beside the rounds."""

    def stop(self) -> None: ...


def _outboxes(engine: Engine, settings: Settings) -> tuple[Outboxes, ...]:
    """The outbox of notices; empty if there are no receivers."""
    if settings.notices is None:
        return ()
    # Imported here, because its libraries come with an extra that a scheduler without notices does not need.
    from scheduler.notices.outbox import Outbox

    return (Outbox(engine, settings),)


def _round(
    engine: Engine,
    dispatcher: Dispatcher,
    rounds: Sequence[Rounds],
    settings: Settings,
    backlog_metrics: BacklogMetrics,
    heartbeat: SchedulerHeartbeat,
) -> str:
    """Do one round and measure its time. Returns what went wrong, or ""."""
    try:
        heartbeat.beat()
        with backlog_metrics.metrics.round():
            run_round(engine, dispatcher, rounds, settings, backlog_metrics.metrics)
            backlog_metrics.look()
    except ServiceUnavailable as error:
        logger.warning("%s; trying again", error)
        return error.message
    return ""


def run_round(
    engine: Engine,
    dispatcher: Dispatcher,
    rounds: Sequence[Rounds],
    settings: Settings,
    metrics: SchedulerMetrics,
) -> None:
    """Do everything in its order. Raises ServiceUnavailable; what was not done is done in a later round."""
    metrics.expired.inc(lease_expiry.expire(engine, chunk_attempts=settings.chunk_attempts))
    metrics.completed.inc(len(lease_expiry.complete_jobs(engine)))
    # These come before the dispatcher, because schedules, reports and bags don't need the broker.
    for part in rounds:
        part.round()
    metrics.messages.inc(dispatcher.round())
