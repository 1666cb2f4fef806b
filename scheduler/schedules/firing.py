"""A nightly job's submission: list what is new and changed, under a lease, and note what came of it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from scheduler.schedules.cron import next_due
from scheduler.submission.submitter import Submission, Submitted, Submitter
from worker.settings.settings import Settings
from worker.storage import Storage

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120.0  # a listing whose scheduler has been silent for so long goes to another
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60, 1800  # between tries while a service is away
TRIES = 12  # over three and a half hours

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
    """Raises UsageError for a name that is taken or none.

    `opened`: from open_both, which may take its time and so is called before the transaction.

    A folder, or a manifest's file, is kept with its whole path: the scheduler runs elsewhere.
    """
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise UsageError(f"{name!r} is no name for a schedule; expected 1 to 200 letters")
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
    """Make a job of what is new and changed; the firing's row says what came of it. Call it in `held`.

    Raises PhotochromError, after it has been noted: ServiceUnavailable when the listing will be tried again.
    Raises LeaseLost when another scheduler lists by now: nothing of this listing is left then.
    """
    submitter = Submitter(
        engine,
        s3=settings.s3_options,
        chunk_scans=settings.chunk_scans,
        checkpoints=list,  # what is new is new whatever the checkpoint
        progress=progress,
    )
    try:
        submitted = submitter.submit(submission(lease.schedule))
    except ServiceUnavailable as error:
        put_off(engine, lease, error.message, now())
        raise
    except PhotochromError as error:
        _finish(engine, lease, FiringState.FAILED, job_id=None, message=error.message)
        raise
    state = FiringState.NOTHING_NEW if submitted.job_id is None else FiringState.SUBMITTED
    _finish(engine, lease, state, job_id=submitted.job_id, message=submitted.sentence())
    return submitted


def give_back(engine: Engine, lease: FiringLease, now: datetime) -> None:
    """Let another scheduler list at once."""
    with suppress(LeaseLost), session_scope(engine) as session:
        schedules.put_off(session, lease, "its scheduler stopped", until=now)


def _finish(engine: Engine, lease: FiringLease, state: str, *, job_id: int | None, message: str) -> None:
    with session_scope(engine) as session:
        schedules.finish(session, lease, state, job_id=job_id, message=message)


def put_off(engine: Engine, lease: FiringLease, message: str, now: datetime) -> None:
    """List again after a pause that doubles with each try; fail after TRIES of them."""
    if lease.attempt >= TRIES:
        _finish(engine, lease, FiringState.FAILED, job_id=None, message=f"given up after {TRIES} tries: {message}")
        return
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (lease.attempt - 1))
    with session_scope(engine) as session:
        schedules.put_off(session, lease, message, until=now + timedelta(seconds=pause))


@contextmanager
def held(engine: Engine, lease: FiringLease, now: Clock) -> Iterator[None]:
    """Extends the lease while the block runs: a large destination is listed for minutes before the first row."""
    ended = threading.Event()

    def hold() -> None:
        while not ended.wait(LEASE_SECONDS / 4):
            try:
                with session_scope(engine) as session:
                    schedules.extend(session, lease, lease_seconds=LEASE_SECONDS, now=now())
            except LeaseLost:
                return
            except ServiceUnavailable as error:
                logger.warning("%s; trying again", error)

    holder = threading.Thread(target=hold, name="listing", daemon=True)
    holder.start()
    try:
        yield
    finally:
        ended.set()
        holder.join()
