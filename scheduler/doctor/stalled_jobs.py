"""What a job waits for while nobody serves it, in sentences for a person."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.clock import database_now
from db.models.pool import Scheduler, Worker
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import Progress
from db.queries.pool import schedulers, workers
from scheduler.text import counted


def unserved(session: Session, found: list[Progress], *, silent_seconds: float) -> list[str]:
    """Why the jobs that have not ended don't go on; nothing while a scheduler and a worker live."""
    if all(job.ended for job in found):
        return []
    now = database_now(session)
    silence = timedelta(seconds=silent_seconds)
    scheduler, worker = schedulers.last_heard(session), workers.last_heard(session)
    said = [sentence for job in found if not job.ended and (sentence := _waits(session, job.job.id, now))]
    if scheduler is None or scheduler.stopped_at or scheduler.heartbeat_at < now - silence:
        said.append(f"no scheduler lives ({_since(scheduler, now)}); start: photochrom scheduler")
    live = workers.live(session, heard_after=now - silence)
    said += [sentence for job in found if not job.ended and live and (sentence := _unmet(job, live))]
    if not live:
        said.append(f"no worker lives ({_since(worker, now)}); start: photochrom worker")
    return said


def _waits(session: Session, job_id: int, now: datetime) -> str:
    count, first = lifecycle.waiting(session, job_id, now=now)
    if first is None:
        return ""
    return (
        f"job {job_id}: {counted(count, 'chunk')} waiting, the first for {_duration(first - now)} more, "
        f"after failures that may pass; which: photochrom scans {job_id} --state pending"
    )


def _unmet(job: Progress, live: Sequence[Worker]) -> str:
    wanted = job.job.options.get("checkpoint")
    if not wanted or wanted in {each.checkpoint for each in live}:
        return ""
    return f"job {job.job.id} waits for a worker with the checkpoint {wanted}; photochrom models says how to start one"


def _since(found: Scheduler | Worker | None, now: datetime) -> str:
    if found is None:
        return "none was ever heard of"
    heard = found.heartbeat_at
    return f"nothing heard since {heard:%Y-%m-%d %H:%M:%S} UTC, {_duration(now - heard)} ago"


def _duration(time: timedelta) -> str:
    seconds = max(0, round(time.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
