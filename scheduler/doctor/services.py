"""The job database and the broker."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now, utc_now
from db.migrations import check_up_to_date, current_revision
from db.models.pool import Worker
from db.models.schedules import FiringState, Schedule
from db.queries import schedules
from db.queries.pages.jobs import within
from db.queries.pool import schedulers, workers
from db.queries.pool.connections import Connections, connections
from db.session import address, make_engine, read_scope, session_scope
from scheduler.doctor.finding import Finding, State, clock
from worker.broker.app_factory import CONNECT_SECONDS, make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.settings.settings import Settings

SCHEDULER_CONNECTIONS = 4  # for its rounds, its heartbeat, a report and a listing
WEB_CONNECTIONS = 15  # of one process of the pages, when many people look at once: the limit of SQLAlchemy's pool
CHILD_CONNECTIONS = 2  # at most: one for its records, and one for the question before it stores an output
NAMED_WORKERS = 5  # at most, in a sentence about several


def database(settings: Settings, *, prefixes: Sequence[str] | None = None) -> Iterator[Finding]:
    """Checks the job database: whether it can be reached, is up to date and can be written; its clock; and the
    schedulers, workers and schedules in it. prefixes: name only schedules that are within these; None: all.
    """
    engine = make_engine(settings.database)
    check_up_to_date(engine)
    revision = current_revision(engine)
    yield Finding("database", State.FINE, f"{address(engine)} is at revision {revision}")
    if engine.dialect.name == "sqlite":
        remedy = "for several machines use one PostgreSQL: PHOTOCHROM_DATABASE_URL=postgresql://..."
        yield Finding("database", State.NOTE, "SQLite works for the processes of one machine only", remedy)
    _try_to_write(engine)
    yield Finding("database", State.FINE, "can be written")
    with read_scope(engine) as session:
        now = database_now(session)
        if engine.dialect.name == "postgresql":
            yield clock("database", now)
        heard_after = now - timedelta(seconds=settings.silent_seconds)
        yield _schedulers(session, heard_after)
        yield _workers(session, heard_after)
        yield from _older_workers(session, heard_after, revision)
        yield from _connections(session, settings, heard_after)
        yield from _schedules(session, prefixes)


def _try_to_write(engine: Engine) -> None:
    """Insert a worker's row and roll the transaction back."""

    class TakeBack(Exception):
        pass

    now = utc_now()
    try:
        with session_scope(engine) as session:
            session.add(Worker(name="doctor", children=0, started_at=now, heartbeat_at=now))
            session.flush()
            raise TakeBack
    except TakeBack:
        return


def _schedulers(session: Session, heard_after: datetime) -> Finding:
    last = schedulers.last_heard(session)
    if last is None or last.stopped_at is not None or last.heartbeat_at < heard_after:
        return Finding("scheduler", State.NOTE, "no scheduler is running", "start one: photochrom scheduler")
    return Finding("scheduler", State.FINE, f"{last.name} is running")


def _workers(session: Session, heard_after: datetime) -> Finding:
    live = workers.live(session, heard_after=heard_after)
    if not live:
        return Finding("workers", State.NOTE, "no worker is running", "start one: photochrom worker")
    sentence = f"{len(live)} running, with {sum(worker.children for worker in live)} children"
    checkpoints = sorted({worker.checkpoint or "none" for worker in live})
    if len(checkpoints) > 1:
        remedy = "give all the same PHOTOCHROM_CHECKPOINT, or a job's scans are coloured by several"
        return Finding("workers", State.NOTE, f"{sentence}; their checkpoints differ: {', '.join(checkpoints)}", remedy)
    return Finding("workers", State.FINE, sentence)


def _older_workers(session: Session, heard_after: datetime, revision: str | None) -> Iterator[Finding]:
    """The running workers of an earlier version, which a later upgrade may end."""
    live = workers.live(session, heard_after=heard_after)
    older = [worker.name for worker in live if worker.revision != revision]
    if older:
        names = ", ".join(older[:NAMED_WORKERS]) + (", ..." if len(older) > NAMED_WORKERS else "")
        sentence = f"{len(older)} of {len(live)} are of an earlier version: {names}"
        remedy = "install this version there and start them again before the next upgrade, which may not support them"
        yield Finding("workers", State.NOTE, sentence, remedy)


def _connections(session: Session, settings: Settings, heard_after: datetime) -> Iterator[Finding]:
    """The connections that the running workers, or else one like this machine's, two schedulers and one process of the
    pages need, and how many are allowed.
    """
    counts = connections(session)
    if counts is None:
        return
    live = workers.live(session, heard_after=heard_after)
    children = [worker.children for worker in live] or [settings.children]
    of_services = 2 * SCHEDULER_CONNECTIONS + WEB_CONNECTIONS + len(children)
    fewest, needed = of_services + sum(children), of_services + CHILD_CONNECTIONS * sum(children)
    processes = f"{len(children)} workers, 2 schedulers and the pages need {fewest} to {needed} connections"
    if counts.pooled:
        yield Finding("database", State.FINE, _behind_a_pooler(processes, needed, counts))
        return
    sentence = f"{processes}; {counts.allowed} allowed, {counts.open} open now"
    if needed <= counts.allowed:
        yield Finding("database", State.FINE, sentence)
        return
    remedy = "raise max_connections and the role's CONNECTION LIMIT, or put PgBouncer in front: docs/operate.md"
    yield Finding("database", State.WRONG if fewest > counts.allowed else State.NOTE, sentence, remedy)


def _behind_a_pooler(processes: str, needed: int, counts: Connections) -> str:
    """Clients connect to the pooler, which has few connections to the server. Only its administrator sees its limit."""
    return (
        f"{processes} at the pooler, whose limit (max_client_conn of PgBouncer) must be {needed} or more; "
        f"the server behind it has {counts.open} of {counts.allowed} connections open now"
    )


def _schedules(session: Session, prefixes: Sequence[str] | None) -> Iterator[Finding]:
    """The schedules whose latest run failed, so that nothing was coloured that night."""
    latest = schedules.latest(session)
    for schedule in schedules.enabled(session, within(prefixes, Schedule)):
        firing = latest.get(schedule.id)
        if firing and firing.state == FiringState.FAILED:
            sentence = f"{schedule.name} failed on {firing.fired_at:%Y-%m-%d at %H:%M} UTC: {firing.message}"
            remedy = f"correct that, then run it again: photochrom schedule run {shlex.quote(schedule.name)}"
            yield Finding("schedule", State.NOTE, sentence, remedy)


def broker(settings: Settings) -> Iterator[Finding]:
    """Checks the broker: whether it can be reached, whether it keeps every message, and its clock."""
    app = make_app(settings, answer_seconds=CONNECT_SECONDS)
    depth = ChunkQueue(app).depth()
    yield Finding("broker", State.FINE, f"answers, with {depth} messages in the queue {settings.queue!r}")
    url = settings.broker_url.get_secret_value()
    if url.startswith(("redis:", "rediss:")):
        with Redis.from_url(url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS) as redis:
            yield _keeps_messages(redis)
            seconds, _ = redis.time()
            yield clock("broker", datetime.fromtimestamp(seconds, UTC))


def _keeps_messages(redis: Redis) -> Finding:
    try:
        policy = redis.config_get("maxmemory-policy").get("maxmemory-policy")
    except RedisError:
        remedy = "make sure that it is noeviction: a full broker must refuse messages, not drop them"
        return Finding("broker", State.NOTE, "does not tell its maxmemory-policy", remedy)
    if policy != "noeviction":
        sentence = f"its maxmemory-policy is {policy}: when it is full, it may drop messages silently"
        return Finding("broker", State.WRONG, sentence, "set it to noeviction")
    return Finding("broker", State.FINE, "when it is full, it refuses messages and drops none (noeviction)")
