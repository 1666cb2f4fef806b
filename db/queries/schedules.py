"""Schedules and their firings: which scheduler fires, which one lists, and the result.

As with chunks, each change is one conditional UPDATE whose row count is checked, so only one of two schedulers fires.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import Conflict, LeaseLost, NotFound
from db.models.jobs import Job, JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries.jobs import submissions
from db.queries.limited import chosen_ids


@dataclass(frozen=True, slots=True)
class FiringLease:
    """The right to list the source for a firing, until its lease ends or another scheduler has a later attempt."""

    firing_id: int
    attempt: int
    tries: int  # with this one; without those of schedulers that handed the listing back because they stopped
    schedule: Schedule


def submitter(name: str) -> str:
    """What the jobs of this schedule have in their column `submitted_by`."""
    return f"schedule {name}"


def add(
    session: Session,
    *,
    name: str,
    source: str,
    destination: str,
    options: dict[str, Any],
    cron: str,
    timezone: str,
    next_due_at: datetime,
    now: datetime,
) -> Schedule:
    """Add a schedule. Raises UsageError if the name is taken."""
    schedule = Schedule(
        name=name,
        source=source,
        destination=destination,
        options=options,
        cron=cron,
        timezone=timezone,
        enabled=True,
        next_due_at=next_due_at,
        created_at=now,
    )
    session.add(schedule)
    try:
        session.flush()
    except IntegrityError:
        raise Conflict(f"there is a schedule {name!r} already; remove it first, or choose another name") from None
    return schedule


def named(session: Session, name: str, *, lock: bool = False) -> Schedule:
    """The schedule of this name. `lock`: nobody else can change it until the transaction ends.

    Raises UsageError if there is none.
    """
    query = select(Schedule).where(Schedule.name == name)
    schedule = session.scalar(query.with_for_update() if lock else query)
    if schedule is None:
        raise NotFound(f"there is no schedule {name!r}; photochrom schedule list shows all schedules")
    return schedule


def listed(session: Session, conditions: Sequence[ColumnElement[bool]] = ()) -> list[Schedule]:
    return list(session.scalars(select(Schedule).where(*conditions).order_by(Schedule.name)))


def visible(session: Session, conditions: Sequence[ColumnElement[bool]], name: str) -> Schedule | None:
    """The schedule of this name, or None if it does not exist or does not fulfil the conditions."""
    return session.scalar(select(Schedule).where(Schedule.name == name, *conditions))


def enabled(session: Session, conditions: Sequence[ColumnElement[bool]] = ()) -> list[Schedule]:
    return list(session.scalars(select(Schedule).where(Schedule.enabled, *conditions).order_by(Schedule.id)))


def due(session: Session, now: datetime) -> list[Schedule]:
    """The enabled schedules whose time has come, the longest overdue first."""
    query = select(Schedule).where(Schedule.enabled, Schedule.next_due_at <= now)
    return list(session.scalars(query.order_by(Schedule.next_due_at, Schedule.id)))


def fire(
    session: Session, schedule: Schedule, *, next_due_at: datetime, now: datetime, lease_seconds: float
) -> FiringLease | None:
    """Fire a schedule that is due: set its next time, and add a firing. Returns None if another scheduler has done so.

    Also returns None if an earlier job of the schedule has not ended; the firing's row says so.
    """
    due_at = schedule.next_due_at
    if not _move_on(session, schedule, next_due_at):
        return None
    schedule = session.get_one(Schedule, schedule.id, populate_existing=True)  # it may have been edited since
    going = _going(session, schedule.id)
    if going is None:
        return _begin(session, schedule, due_at=due_at, now=now, lease_seconds=lease_seconds)
    _note(session, schedule.id, due_at, FiringState.STILL_GOING, _still_going(going), now=now, job_id=going.job_id)
    return None


def fail(session: Session, schedule: Schedule, message: str, *, next_due_at: datetime, now: datetime) -> bool:
    """Set the schedule's next time and add a failed firing. Returns False if another scheduler has done so."""
    due_at = schedule.next_due_at
    if not _move_on(session, schedule, next_due_at):
        return False
    _note(session, schedule.id, due_at, FiringState.FAILED, message, now=now)
    return True


def _move_on(session: Session, schedule: Schedule, next_due_at: datetime) -> bool:
    """Set the schedule's next time. Of all schedulers that find it due, only one gets True.

    Nobody gets True if its cron line or time zone has changed since it was read, because `next_due_at` follows them.
    """
    as_read = (
        Schedule.next_due_at == schedule.next_due_at,
        Schedule.cron == schedule.cron,
        Schedule.timezone == schedule.timezone,
    )
    moved = session.scalars(
        update(Schedule)
        .where(Schedule.id == schedule.id, Schedule.enabled, *as_read)
        .values(next_due_at=next_due_at)
        .returning(Schedule.id)
        .execution_options(synchronize_session=False)
    ).all()
    return bool(moved)


def _note(
    session: Session,
    schedule_id: int,
    due_at: datetime | None,
    state: str,
    message: str,
    *,
    now: datetime,
    job_id: int | None = None,
) -> None:
    row = Firing(schedule_id=schedule_id, due_at=due_at, fired_at=now, state=state, job_id=job_id, message=message)
    session.add(row)


def fire_by_hand(session: Session, name: str, *, now: datetime, lease_seconds: float, tries: int = 1) -> FiringLease:
    """Add a firing that a person started. tries: 1 if the caller lists the source, 0 if a scheduler is to do it.

    Raises UsageError if there is no such schedule, or its earlier job has not ended.
    """
    schedule = named(session, name, lock=True)
    if going := _going(session, schedule.id):
        raise Conflict(f"the schedule {name!r} is not run: {_still_going(going)}")
    return _begin(session, schedule, due_at=None, now=now, lease_seconds=lease_seconds, tries=tries)


def _begin(
    session: Session,
    schedule: Schedule,
    *,
    due_at: datetime | None,
    now: datetime,
    lease_seconds: float,
    tries: int = 1,
) -> FiringLease:
    firing = Firing(
        schedule_id=schedule.id,
        due_at=due_at,
        fired_at=now,
        state=FiringState.LISTING,
        attempt=1,
        tries=tries,
        lease_expires_at=now + timedelta(seconds=lease_seconds),
    )
    session.add(firing)
    session.flush()
    return FiringLease(firing.id, firing.attempt, firing.tries, schedule)


def _going(session: Session, schedule_id: int) -> Firing | None:
    """The latest firing that still lists the source or whose job has not ended; None if there is none."""
    unfinished = select(Job.id).where(Job.id == Firing.job_id, Job.state.not_in(JobState.ENDED)).exists()
    return session.scalar(
        select(Firing)
        .where(Firing.schedule_id == schedule_id, or_(Firing.state == FiringState.LISTING, unfinished))
        .order_by(Firing.id.desc())
        .limit(1)
    )


def _still_going(going: Firing) -> str:
    return f"job {going.job_id} has not ended" if going.job_id else "its source is still being listed"


def give_up(session: Session, *, now: datetime, tries: int) -> list[int]:
    """Set firings to failed whose lease has ended after `tries` tries. Returns their ids.

    So a listing that kills its scheduler each time is not repeated for ever.
    """
    message = f"given up after {tries} tries: its scheduler died or fell silent each time; see the schedulers' logs"
    ended = (Firing.state == FiringState.LISTING, Firing.lease_expires_at <= now, Firing.tries >= tries)
    return list(
        session.scalars(
            update(Firing)
            .where(*ended)
            .values(state=FiringState.FAILED, message=message, lease_expires_at=None)
            .returning(Firing.id)
            .execution_options(synchronize_session=False)
        )
    )


def take_over(
    session: Session, count: int, *, now: datetime, lease_seconds: float, waiting_since: datetime | None = None
) -> list[FiringLease]:
    """Take over up to `count` listings whose lease has ended, or that are due again, each under a new attempt.

    Each counts as a try. If the scheduler dies, nobody takes the try back.

    Those that wait longest come first; with `waiting_since`, only those that have waited since then. Another scheduler
    that asks at the same time takes other listings.
    """
    waits = (Firing.state == FiringState.LISTING, Firing.lease_expires_at <= (waiting_since or now))
    longest = select(Firing.id).where(*waits).order_by(Firing.lease_expires_at, Firing.id).limit(count)
    chosen = chosen_ids(longest.with_for_update(skip_locked=True))
    rows = session.execute(
        update(Firing)
        .where(Firing.id == chosen.c.id, *waits)
        .values(
            attempt=Firing.attempt + 1,
            tries=Firing.tries + 1,
            lease_expires_at=now + timedelta(seconds=lease_seconds),
        )
        .returning(Firing.id, Firing.attempt, Firing.tries, Firing.schedule_id)
        .execution_options(synchronize_session=False)
    ).all()
    return [FiringLease(row.id, row.attempt, row.tries, session.get_one(Schedule, row.schedule_id)) for row in rows]


def hold(session: Session, lease: FiringLease) -> None:
    """Keep the firing as it is until the transaction ends, so that what this writes is the lease's.

    Raises LeaseLost if another scheduler has taken over the listing, or the firing has ended.
    """
    if session.scalar(select(Firing.id).where(*_held(lease)).with_for_update()) is None:
        raise _lost(lease)


def extend(session: Session, lease: FiringLease, *, lease_seconds: float, now: datetime) -> None:
    """Raises LeaseLost if another scheduler has taken over the listing."""
    _change(session, lease, lease_expires_at=now + timedelta(seconds=lease_seconds))


def put_off(session: Session, lease: FiringLease, message: str, *, until: datetime) -> None:
    """Try the listing again from `until` on. Raises LeaseLost."""
    _change(session, lease, message=message, lease_expires_at=until)


def hand_back(session: Session, lease: FiringLease, message: str, *, now: datetime) -> None:
    """Let another scheduler list at once, because this one stops; it does not count as a try. Raises LeaseLost."""
    _change(session, lease, message=message, lease_expires_at=now, tries=lease.tries - 1)


def finish(session: Session, lease: FiringLease, state: str, *, job_id: int | None, message: str | None) -> None:
    """Raises LeaseLost if another scheduler has taken over the listing."""
    _change(session, lease, state=state, job_id=job_id, message=message, lease_expires_at=None)


def _change(session: Session, lease: FiringLease, **values: object) -> None:
    statement = update(Firing).where(*_held(lease)).values(**values).returning(Firing.id)
    if not session.scalars(statement.execution_options(synchronize_session=False)).all():
        raise _lost(lease)


def _held(lease: FiringLease) -> tuple[ColumnElement[bool], ...]:
    return Firing.id == lease.firing_id, Firing.attempt == lease.attempt, Firing.state == FiringState.LISTING


def _lost(lease: FiringLease) -> LeaseLost:
    name = lease.schedule.name
    return LeaseLost(
        f"run {lease.firing_id} of the schedule {name!r} has ended, or another scheduler lists its source by now; "
        "photochrom schedule history NAME shows what became of it"
    )


def into_same_destination(session: Session, destination: str, *, but: str) -> list[str]:
    """The names of the other schedules with this destination. Two in one destination confuse people."""
    query = select(Schedule.name).where(Schedule.destination == destination, Schedule.name != but)
    return list(session.scalars(query.order_by(Schedule.name)))


def set_enabled(session: Session, name: str, next_due_at: datetime | None, *, now: datetime) -> None:
    """Enable the schedule with its next time, or disable it with None, which also ends its listing.

    Raises UsageError if there is no such schedule.
    """
    schedule = named(session, name, lock=True)
    schedule.enabled, schedule.next_due_at = next_due_at is not None, next_due_at
    if next_due_at is None:
        _end_listing(session, schedule, now=now)


def _end_listing(session: Session, schedule: Schedule, *, now: datetime) -> None:
    """End the listing of a schedule that is disabled, and cancel its job.

    A listing that a person started goes on, because people may run disabled schedules.
    """
    problem = "its schedule was disabled before the source was listed completely"
    listing = (Firing.schedule_id == schedule.id, Firing.state == FiringState.LISTING)
    session.execute(
        update(Firing)
        .where(*listing, Firing.due_at.is_not(None))
        .values(state=FiringState.FAILED, message=problem, lease_expires_at=None)
    )
    if session.scalar(select(Firing.id).where(*listing)) is None:
        submissions.abandon(session, submitter(schedule.name), problem, now=now)


def remove(session: Session, name: str, *, now: datetime) -> None:
    """Remove the schedule and its history. The jobs that it made stay; one whose source is not listed completely is
    cancelled.

    Raises UsageError if there is no such schedule.
    """
    session.delete(named(session, name, lock=True))
    session.flush()
    problem = "its schedule was removed before the source was listed completely"
    submissions.abandon(session, submitter(name), problem, now=now)


def history(session: Session, schedule_id: int, *, limit: int) -> list[tuple[Firing, Job | None]]:
    """The latest firings with their jobs, newest first."""
    rows = session.execute(
        select(Firing, Job)
        .outerjoin(Job, Job.id == Firing.job_id)
        .where(Firing.schedule_id == schedule_id)
        .order_by(Firing.id.desc())
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def latest(session: Session) -> dict[int, Firing]:
    """Each schedule's latest firing, by the schedule's id."""
    newest = select(func.max(Firing.id)).group_by(Firing.schedule_id)
    return {firing.schedule_id: firing for firing in session.scalars(select(Firing).where(Firing.id.in_(newest)))}
