"""The job database and the broker."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now, utc_now
from db.migrations import check_up_to_date, current_revision
from db.models.pool import Worker
from db.models.schedules import FiringState
from db.queries import schedules
from db.queries.pool import schedulers, workers
from db.session import address, make_engine, read_scope, session_scope
from scheduler.doctor.finding import Finding, State, clock
from worker.broker.app_factory import CONNECT_SECONDS, make_app
from worker.broker.chunk_queue import ChunkQueue
from worker.settings.settings import Settings


def database(settings: Settings) -> Iterator[Finding]:
    """Reached, at this version's revision, writable, its clock ours; and who works."""
    engine = make_engine(settings.database)
    check_up_to_date(engine)
    yield Finding("database", State.FINE, f"{address(engine)} is at revision {current_revision(engine)}")
    if engine.dialect.name == "sqlite":
        do = "give all machines one PostgreSQL: PHOTOCHROM_DATABASE_URL=postgresql://..."
        yield Finding("database", State.NOTE, "SQLite serves the processes of one machine, and no other's", do)
    _try_to_write(engine)
    yield Finding("database", State.FINE, "can be written")
    with read_scope(engine) as session:
        now = database_now(session)
        if engine.dialect.name == "postgresql":
            yield clock("database", now)
        heard_after = now - timedelta(seconds=settings.silent_seconds)
        yield _schedulers(session, heard_after)
        yield _workers(session, heard_after)
        yield from _schedules(session)


def _try_to_write(engine: Engine) -> None:
    """Insert a worker and take it back: the transaction never commits."""

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
        return Finding("scheduler", State.NOTE, "none has been heard of of late", "start one: photochrom scheduler")
    return Finding("scheduler", State.FINE, f"{last.name} is at work")


def _workers(session: Session, heard_after: datetime) -> Finding:
    live = workers.live(session, heard_after=heard_after)
    if not live:
        return Finding("workers", State.NOTE, "none has been heard of of late", "start one: photochrom worker")
    said = f"{len(live)} at work, with {sum(worker.children for worker in live)} children"
    checkpoints = sorted({worker.checkpoint or "none" for worker in live})
    if len(checkpoints) > 1:
        do = "give all the same PHOTOCHROM_CHECKPOINT, or a job's scans are coloured by several"
        return Finding("workers", State.NOTE, f"{said}; their checkpoints differ: {', '.join(checkpoints)}", do)
    return Finding("workers", State.FINE, said)


def _schedules(session: Session) -> Iterator[Finding]:
    """Those whose latest firing failed: nothing was coloured that night."""
    latest = schedules.latest(session)
    for each in schedules.enabled(session):
        fired = latest.get(each.id)
        if fired and fired.state == FiringState.FAILED:
            said = f"{each.name} failed on {fired.fired_at:%Y-%m-%d at %H:%M} UTC: {fired.message}"
            do = f"mend it, then make up for that night: photochrom schedule run {shlex.quote(each.name)}"
            yield Finding("schedule", State.NOTE, said, do)


def broker(settings: Settings) -> Iterator[Finding]:
    """Reached; keeps every message; its clock ours."""
    app = make_app(settings, answer_seconds=CONNECT_SECONDS)
    unread = ChunkQueue(app).depth()
    yield Finding("broker", State.FINE, f"answers, with {unread} messages in the queue {settings.queue!r}")
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
        said = "does not say its maxmemory-policy"
        return Finding("broker", State.NOTE, said, "make sure that it is noeviction: a full broker must refuse")
    if policy != "noeviction":
        said = f"its maxmemory-policy is {policy}: when full, it may drop messages without a word"
        return Finding("broker", State.WRONG, said, "set it to noeviction")
    return Finding("broker", State.FINE, "refuses, when full, rather than drops (noeviction)")
