"""The scheduler's loop: leases, jobs, schedules, reports, bags, dispatch, once a round. Two at once are safe."""

import logging
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol

from sqlalchemy import Engine

from db.migrations import check_up_to_date
from db.session import make_engine
from scheduler.daemon import lease_expiry
from scheduler.daemon.backlog_metrics import BacklogMetrics
from scheduler.daemon.bag_sealer import Sealing
from scheduler.daemon.dispatcher import Dispatcher
from scheduler.daemon.heartbeat import SchedulerHeartbeat
from scheduler.daemon.metrics import SchedulerMetrics
from scheduler.daemon.report_writer import Reporter
from scheduler.schedules.runner import ScheduleRunner
from worker.broker.app_factory import CONNECT_SECONDS, make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.errors import ServiceUnavailable
from worker.observability.health import Health
from worker.observability.http_server import MetricsServer
from worker.settings.settings import Settings
from worker.system.wait import wait_for

logger = logging.getLogger(__name__)

LISTINGS_AT_ONCE = 2  # of nightly jobs; others wait their turn


class Rounds(Protocol):
    """Something that is looked after once a round."""

    def round(self) -> object: ...


def run_scheduler(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    While the database or the broker is away at the start, it waits for them. Raises UsageError when the database is not
    migrated.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    engine = make_engine(settings.database)
    app = make_app(settings, answer_seconds=CONNECT_SECONDS)
    if settings.traces:
        from worker.observability.tracing import Tracing  # its packages come with an extra

        Tracing("photochrom-scheduler", engine)
    queue = ChunkQueue(app)
    health = Health("no round has ended", notify_socket=settings.notify_socket)
    backlog_metrics = BacklogMetrics(engine, queue, settings)
    dispatcher, heartbeat = Dispatcher(engine, queue, settings), SchedulerHeartbeat(engine, settings.heartbeat_seconds)
    with (
        MetricsServer(settings.metrics_address, settings.metrics_port, backlog_metrics.metrics.registry, health),
        ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="listing") as listing,
        ThreadPoolExecutor(1, thread_name_prefix="report") as reporting,
        ThreadPoolExecutor(1, thread_name_prefix="sealing") as alone,
        ThreadPoolExecutor(1, thread_name_prefix="notices") as telling,
    ):
        wait_for(lambda: check_up_to_date(engine), stopping, health.turn)
        wait_for(queue.depth, stopping, health.turn)
        if stopping.is_set():
            return
        logger.info("the scheduler runs, a round every %g s", settings.scheduler_round_seconds)
        schedule_runner = ScheduleRunner(engine, settings, listing)
        sealing = Sealing(engine, settings, alone)
        rounds: tuple[Rounds, ...] = (
            schedule_runner,
            Reporter(engine, settings, reporting),
            sealing,
            *_outbox(engine, settings, telling),
        )
        while not stopping.wait(settings.scheduler_round_seconds):
            health.turn(_round(engine, dispatcher, rounds, settings, backlog_metrics, heartbeat))
        logger.info("the scheduler stops")
        schedule_runner.stop()
        sealing.stop()
    heartbeat.stop()


def _outbox(engine: Engine, settings: Settings, executor: Executor) -> tuple[Rounds, ...]:
    """Nothing where nobody is to be told."""
    if settings.notices is None:
        return ()
    # Here, since its libraries are an extra, which a scheduler without notices can do without.
    from scheduler.notices.outbox import Outbox

    return (Outbox(engine, settings, executor),)


def _round(
    engine: Engine,
    dispatcher: Dispatcher,
    rounds: Sequence[Rounds],
    settings: Settings,
    backlog_metrics: BacklogMetrics,
    heartbeat: SchedulerHeartbeat,
) -> str:
    """One round, timed; what was amiss."""
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
    """Raises ServiceUnavailable; whatever was left undone is done in a later round."""
    metrics.expired.inc(lease_expiry.expire(engine, chunk_attempts=settings.chunk_attempts))
    metrics.completed.inc(len(lease_expiry.complete_jobs(engine)))
    # Before the dispatcher: schedules, reports and bags don't need the broker.
    for part in rounds:
        part.round()
    metrics.messages.inc(dispatcher.round())
