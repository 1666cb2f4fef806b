"""Why a job does not continue, in sentences for people."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.clock import database_now
from db.models.pool import Scheduler, Worker
from db.queries import notices
from db.queries.chunks.checkpoints import serves
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import Progress
from db.queries.pool import schedulers, workers
from scheduler.text import counted


def why_stalled(session: Session, jobs: list[Progress], *, silent_seconds: float) -> list[str]:
    """Why unfinished jobs do not continue.

    Empty while a scheduler and a worker with the right checkpoint are running.
    """
    unfinished = [progress for progress in jobs if not progress.ended]
    if not unfinished:
        return []
    now = database_now(session)
    silence = timedelta(seconds=silent_seconds)
    scheduler, worker = schedulers.last_heard(session), workers.last_heard(session)
    reasons = [sentence for progress in unfinished if (sentence := _retries(session, progress.job.id, now))]
    if scheduler is None or scheduler.stopped_at or scheduler.heartbeat_at < now - silence:
        reasons.append(f"no scheduler is running ({_last_message(scheduler, now)}); start one: photochrom scheduler")
    live = workers.live(session, heard_after=now - silence)
    reasons += [sentence for progress in unfinished if live and (sentence := _missing_checkpoint(progress, live))]
    if not live:
        reasons.append(f"no worker is running ({_last_message(worker, now)}); start one: photochrom worker")
    return reasons


def _retries(session: Session, job_id: int, now: datetime) -> str:
    count, first = lifecycle.waiting(session, job_id, now=now)
    if first is None:
        return ""
    return (
        f"job {job_id}: {counted(count, 'chunk')} will be tried again after a failure that may pass, the first in "
        f"{_duration(first - now)}; photochrom scans {job_id} --state pending lists their scans"
    )


def _missing_checkpoint(progress: Progress, live: Sequence[Worker]) -> str:
    checkpoint = progress.job.options.get("checkpoint")
    if not checkpoint or any(serves(worker.checkpoint, progress.job.options) for worker in live):
        return ""
    return (
        f"job {progress.job.id} waits for a worker with the checkpoint {checkpoint}; "
        "photochrom models says how to start one"
    )


def _last_message(process: Scheduler | Worker | None, now: datetime) -> str:
    if process is None:
        return "none has ever connected"
    heartbeat = process.heartbeat_at
    return f"the last message came at {heartbeat:%Y-%m-%d %H:%M:%S} UTC, {_duration(now - heartbeat)} ago"


def _duration(time: timedelta) -> str:
    seconds = max(0, round(time.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def undelivered(session: Session) -> list[str]:
    """A sentence about notices that could not be delivered yet; empty if there are none."""
    count, problem = notices.troubled(session)
    if not count:
        return []
    return [f"{counted(count, 'notice')} not received yet, the latest because {problem}; try: photochrom notices test"]
