"""The submission of a nightly job: lists new and changed scans under a lease, and records the result."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.errors import LeaseLost, PhotochromError, ServiceUnavailable, UsageError
from db.models.schedules import FiringState, Schedule
from db.queries import schedules
from db.queries.schedules import FiringLease
from db.session import read_scope, session_scope
from scheduler.holding import extended
from scheduler.schedules.cron import next_due
from scheduler.submission.submitter import Submission, Submitted, Submitter
from worker.errors import CredentialsRefused
from worker.settings.settings import Settings
from worker.storage import Storage

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120.0  # if its scheduler is silent for this long, another one takes over the listing
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60, 1800  # between tries while a service does not answer
# Tries that fail, which take about three and a half hours, or in which the scheduler dies. A scheduler that stops in
# order takes its try back.
TRIES = 12

Clock = Callable[[], datetime]


def database_clock(engine: Engine) -> Clock:
    """The clock that all schedulers share."""

    def now() -> datetime:
        with read_scope(engine) as session:
            return database_now(session)

    return now


def new_schedule(
    session: Session,
    name: str,
    submission: Submission,
    opened: tuple[Storage, Storage],
    *,
    cron: str,
    timezone: str,
    now: datetime,
) -> Schedule:
    """Add a schedule. Raises UsageError if the name is taken or invalid.

    `opened`: from open_both, which may take long and must therefore be called before the transaction.

    Folders and a manifest's file are stored with their whole path, because the scheduler runs in another folder.
    """
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise UsageError(f"{name!r} is not a valid name for a schedule; expected 1 to 200 letters")
    due_at = next_due(cron, timezone, after=now)
    source, destination = opened
    options = {key: value for key, value in asdict(submission).items() if key not in ("source", "destination", "name")}
    if submission.manifest and not submission.manifest.startswith("s3://"):
        options["manifest"] = str(Path(submission.manifest).absolute())
    return schedules.add(
        session,
        name=name,
        source=source.uri,
        destination=destination.uri,
        options=options,
        cron=" ".join(cron.split()),
        timezone=timezone,
        next_due_at=due_at,
        now=now,
    )


def submission(schedule: Schedule) -> Submission:
    options: dict[str, Any] = dict(schedule.options)
    for several in ("include", "exclude"):
        options[several] = tuple(options.get(several, ()))
    return Submission(schedule.source, schedule.destination, name=schedule.name, **options)


def list_and_submit(
    engine: Engine,
    lease: FiringLease,
    settings: Settings,
    *,
    now: Clock,
    progress: Callable[[Submitted], None] = lambda _: None,
) -> Submitted:
    """Make a job of new and changed scans, and record the result in the firing's row. Call it inside `held`. The
    submitter records a new job, in the transaction that starts it.

    Raises PhotochromError after the error is recorded; after ServiceUnavailable and CredentialsRefused, the listing is
    tried again. Raises LeaseLost if another scheduler has taken over, or the firing has ended; this attempt then starts
    no job.
    """
    submitter = Submitter(
        engine,
        s3=settings.s3_options,
        chunk_scans=settings.chunk_scans,
        checkpoints=list,  # with a new checkpoint, a scan does not count as new
        progress=progress,
        lease=lease,
    )
    try:
        submitted = submitter.submit(submission(lease.schedule))
    except (ServiceUnavailable, CredentialsRefused) as error:  # somebody renews credentials that have expired
        put_off(engine, lease, now(), message=error.message)
        raise
    except PhotochromError as error:
        _finish(engine, lease, FiringState.FAILED, job_id=None, message=error.message)
        raise
    if submitted.job_id is None:
        _finish(engine, lease, FiringState.NOTHING_NEW, job_id=None, message=submitted.sentence())
    elif submitted.already:
        _finish(engine, lease, FiringState.SUBMITTED, job_id=submitted.job_id, message=submitted.sentence())
    return submitted


def give_back(engine: Engine, lease: FiringLease, now: datetime) -> None:
    """End the lease, so that another scheduler can list at once; it does not count as a try. Raises LeaseLost."""
    with session_scope(engine) as session:
        schedules.hand_back(session, lease, "its scheduler stopped", now=now)


def _finish(engine: Engine, lease: FiringLease, state: str, *, job_id: int | None, message: str) -> None:
    with session_scope(engine) as session:
        schedules.finish(session, lease, state, job_id=job_id, message=message)


def put_off(engine: Engine, lease: FiringLease, now: datetime, *, message: str) -> None:
    """Try the listing again after a pause, which doubles with each try. After TRIES tries, the firing fails.

    Raises LeaseLost.
    """
    if lease.tries >= TRIES:
        _finish(engine, lease, FiringState.FAILED, job_id=None, message=f"given up after {TRIES} tries: {message}")
        return
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (lease.tries - 1))
    with session_scope(engine) as session:
        schedules.put_off(session, lease, message, until=now + timedelta(seconds=pause))


def held(engine: Engine, lease: FiringLease, now: Clock) -> AbstractContextManager[None]:
    """Extends the lease while the block runs, because listing a large destination takes minutes before the
    first row.
    """

    def extend() -> bool:
        try:
            with session_scope(engine) as session:
                schedules.extend(session, lease, lease_seconds=LEASE_SECONDS, now=now())
        except LeaseLost:
            return False
        return True

    return extended(extend, LEASE_SECONDS / 4, "listing")
