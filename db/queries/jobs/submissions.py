"""Submissions: a job while its source is being listed, which may take hours and may be killed.

A second submission of the same job takes over the unfinished listing, under a new attempt number. If the first one
still runs, its writes then match no row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.errors import UsageError
from db.models.jobs import Job, JobState, Scan
from db.queries.jobs import lifecycle
from db.queries.limited import chosen_ids

_LOCK = 0x50686F74  # a number that nothing else locks


@dataclass(frozen=True, slots=True)
class SubmissionAttempt:
    """One attempt to list a job's scans, and how far earlier attempts got."""

    job_id: int
    number: int
    before: dict[str, Any] | None  # None if this is the first attempt
    tries: int = 0  # of schedulers, with this one; without those that handed the listing back because they stopped


def same_job(session: Session, same: Callable[[Job], bool]) -> Job | None:
    """The oldest unfinished job for which `same` is true; None if there is none."""
    return next((job for job in lifecycle.unfinished(session) if same(job)), None)


def lock(session: Session) -> None:
    """Take a lock until the end of this transaction, so that no other process looks for the same job and creates it
    too.

    Not needed on SQLite, where only one transaction writes at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def take_over(
    session: Session, job_id: int, *, name: str, priority: int, submitted_by: str | None
) -> SubmissionAttempt | None:
    """Continue a listing as its next attempt; from now on, the job is `submitted_by`'s, who lists it.

    Returns None if the listing is complete, or the job was cancelled.
    """
    row = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.SUBMITTING)
        .values(listing_attempt=Job.listing_attempt + 1, name=name, priority=priority, submitted_by=submitted_by)
        .values(request=None, listing_lease_expires_at=None)
        .returning(Job.listing_attempt, Job.listing)
        .execution_options(synchronize_session=False)
    ).first()
    if row is None:
        return None
    before = {name: value for name, value in (row[1] or {}).items() if name != "tries"}  # a person starts from none
    session.execute(update(Job).where(Job.id == job_id).values(listing=before))
    return SubmissionAttempt(job_id, row[0], before)


@dataclass(frozen=True, slots=True)
class BackgroundListing:
    """A listing that a scheduler does, until somebody begins a later attempt."""

    attempt: SubmissionAttempt
    request: dict[str, Any]


def leave_to_schedulers(
    session: Session, job_id: int, request: dict[str, Any], *, submitted_by: str | None, now: datetime
) -> bool:
    """Let the next scheduler list the job, which is `submitted_by`'s from now on.

    Returns False if a scheduler already lists it, or the listing is complete.
    """
    free = (Job.id == job_id, Job.state == JobState.SUBMITTING, Job.listing_lease_expires_at.is_(None))
    values = {"request": request, "listing_lease_expires_at": now, "submitted_by": submitted_by}
    left = update(Job).where(*free).values(values).returning(Job.id)
    return bool(session.scalars(left.execution_options(synchronize_session=False)).all())


def take_waiting(session: Session, count: int, *, now: datetime, lease_seconds: float) -> list[BackgroundListing]:
    """Take up to `count` listings that wait for a scheduler, or whose scheduler has stopped responding, each as its
    next attempt.

    Those that wait longest come first. Another scheduler that asks at the same time takes other listings.
    """
    waits = (Job.state == JobState.SUBMITTING, Job.listing_lease_expires_at <= now)
    longest = select(Job.id).where(*waits).order_by(Job.listing_lease_expires_at, Job.id).limit(count)
    chosen = chosen_ids(longest.with_for_update(skip_locked=True))
    rows = session.execute(
        update(Job)
        .where(Job.id == chosen.c.id, *waits)
        .values(
            listing_attempt=Job.listing_attempt + 1, listing_lease_expires_at=now + timedelta(seconds=lease_seconds)
        )
        .returning(Job.id, Job.listing_attempt, Job.listing, Job.request)
        .execution_options(synchronize_session=False)
    ).all()
    return [
        BackgroundListing(_counted(session, SubmissionAttempt(row[0], row[1], row[2] or {})), row[3]) for row in rows
    ]


def _counted(session: Session, attempt: SubmissionAttempt) -> SubmissionAttempt:
    """Count a try of a scheduler. If the scheduler dies, nobody takes the try back."""
    before = attempt.before or {}
    tries = int(before.get("tries", 0)) + 1
    session.execute(update(Job).where(Job.id == attempt.job_id).values(listing={**before, "tries": tries}))
    return replace(attempt, tries=tries)


def hand_back(session: Session, attempt: SubmissionAttempt, *, now: datetime) -> bool:
    """Let another scheduler go on at once, because this one stops; it does not count as a try. Returns as `hold`."""
    return hold(session, attempt, until=now, noted={"tries": attempt.tries - 1})


def hold(
    session: Session, attempt: SubmissionAttempt, *, until: datetime, noted: Mapping[str, object] | None = None
) -> bool:
    """Keep the listing until `until`. With a problem in `noted`, nobody lists before that time.

    noted: written into the row's listing. Returns False if another attempt has the listing now.
    """
    held = (Job.id == attempt.job_id, Job.state == JobState.SUBMITTING, Job.listing_attempt == attempt.number)
    row = session.execute(select(Job.listing).where(*held).with_for_update()).first()
    if row is None:
        return False
    values: dict[str, Any] = {"listing_lease_expires_at": until}
    if noted:
        values["listing"] = {**(row[0] or {}), **noted}
    session.execute(update(Job).where(*held).values(values).execution_options(synchronize_session=False))
    return True


def give_up(session: Session, attempt: SubmissionAttempt, problem: str, *, now: datetime) -> bool:
    """Cancel the job and store the reason. Returns False if another attempt has the listing now, or it has ended."""
    if not hold(session, attempt, until=now, noted={"problem": problem}):
        return False
    listing = session.scalar(select(Job.listing).where(Job.id == attempt.job_id)) or {}
    # A person may also cancel a job whose listing has a problem, so the problem alone does not say who ended it.
    session.execute(update(Job).where(Job.id == attempt.job_id).values(listing={**listing, "given_up": True}))
    lifecycle.change_state(session, attempt.job_id, JobState.CANCELLED, now=now)
    return True


def abandon(
    session: Session, submitted_by: str, problem: str, *, but: int | None = None, now: datetime
) -> Sequence[int]:
    """Cancel the jobs that this submitter lists itself and has not finished listing, except the job `but`.

    Their scans would otherwise wait for ever, and no other job could make them. Returns the ids of these jobs.
    """
    begun = (Job.state == JobState.SUBMITTING, Job.submitted_by == submitted_by, Job.request.is_(None), Job.id != but)
    rows = session.execute(select(Job.id, Job.listing).where(*begun).order_by(Job.id).with_for_update()).all()
    for job_id, listing in rows:
        session.execute(update(Job).where(Job.id == job_id).values(listing={**(listing or {}), "problem": problem}))
        lifecycle.change_state(session, job_id, JobState.CANCELLED, now=now)
    return [row[0] for row in rows]


def advance(session: Session, attempt: SubmissionAttempt, position: dict[str, Any] | None) -> None:
    """Store how far this attempt is, in the transaction that inserts the listed scans.

    Raises UsageError if the job was cancelled, or another submission continues it.
    """
    held = (Job.id == attempt.job_id, Job.state == JobState.SUBMITTING, Job.listing_attempt == attempt.number)
    if position is not None and attempt.tries:
        position = {**position, "tries": attempt.tries}
    kept = update(Job).where(*held).values(listing=position).returning(Job.id)
    if not session.scalars(kept.execution_options(synchronize_session=False)).all():
        raise UsageError(_lost(session, attempt.job_id))


def _lost(session: Session, job_id: int) -> str:
    job = session.get(Job, job_id)
    if job is None or job.state == JobState.CANCELLED:
        return f"job {job_id} was cancelled while its scans were listed; submit it again if that was wrong"
    return f"another process submits job {job_id} now and continues where this one stopped; leave it to that one"


def start(
    session: Session,
    attempt: SubmissionAttempt,
    *,
    other_count: int,
    max_failures: int | None,
    state: str = JobState.RUNNING,
) -> None:
    """End the listing: see lifecycle.start. Raises UsageError as `advance` does."""
    advance(session, attempt, None)
    lifecycle.start(session, attempt.job_id, other_count=other_count, max_failures=max_failures, state=state)


def remove(session: Session, attempt: SubmissionAttempt) -> None:
    """Delete the job with all its rows, if it still belongs to this attempt."""
    held = select(Job.id).where(
        Job.id == attempt.job_id, Job.state == JobState.SUBMITTING, Job.listing_attempt == attempt.number
    )
    if session.scalar(held.with_for_update()) is not None:
        lifecycle.remove(session, attempt.job_id)


def inserted(session: Session, job_id: int, output_keys: Sequence[str]) -> set[tuple[str, str]]:
    """Those of these outputs for which the job has a scan already, as (source key, output key)."""
    query = select(Scan.source_key, Scan.output_key).where(Scan.job_id == job_id, Scan.output_key.in_(output_keys))
    return {(row[0], row[1]) for row in session.execute(query)}
