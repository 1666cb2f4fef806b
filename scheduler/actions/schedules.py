"""Add, edit, enable, disable, run and remove schedules."""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.clock import database_now
from db.errors import UsageError
from db.models.schedules import Schedule
from db.queries import schedules
from db.queries.access import audit
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.actions.model_choices import expect_submission
from scheduler.schedules.cron import next_due
from scheduler.schedules.firing import LEASE_SECONDS, new_schedule
from scheduler.submission.request import Submission
from scheduler.submission.submitter import open_both
from worker.settings.settings import Settings


def add(
    engine: Engine, settings: Settings, name: str, submission: Submission, *, cron: str, timezone: str, actor: Actor
) -> tuple[Schedule, list[str]]:
    """Add a schedule. Returns it, and the names of other schedules with its destination.

    Raises UsageError, also for a head or an embedding that nobody has; ServiceUnavailable.
    """
    scheduled = _scheduled(submission)
    opened = open_both(scheduled, settings.s3_options)
    with session_scope(engine) as session:
        expect_submission(session, settings, scheduled)
        schedule = new_schedule(
            session, name, scheduled, opened, cron=cron, timezone=timezone, now=database_now(session)
        )
        _note(session, actor, "schedule_add", name)
        return schedule, schedules.into_same_destination(session, schedule.destination, but=name)


def edit(
    engine: Engine, settings: Settings, name: str, submission: Submission, *, cron: str, timezone: str, actor: Actor
) -> tuple[Schedule, list[str]]:
    """Change what a schedule submits and when, from its next time on. Its history stays.

    A time that has come stays due, so an edit loses no night that was missed or is about to be fired. Returns and
    raises as `add`.
    """
    scheduled = _scheduled(submission)
    source, destination = open_both(scheduled, settings.s3_options)
    options: dict[str, Any] = {
        key: value for key, value in asdict(scheduled).items() if key not in ("source", "destination", "name")
    }
    if submission.manifest and not submission.manifest.startswith("s3://"):
        options["manifest"] = str(Path(submission.manifest).absolute())
    with session_scope(engine) as session:
        expect_submission(session, settings, scheduled)
        schedule = schedules.named(session, name, lock=True)
        _set_times(schedule, cron, timezone, now=database_now(session))
        schedule.source, schedule.destination, schedule.options = source.uri, destination.uri, options
        session.flush()
        _note(session, actor, "schedule_edit", name)
        return schedule, schedules.into_same_destination(session, schedule.destination, but=name)


def _scheduled(submission: Submission) -> Submission:
    """The submission as a schedule makes it. Raises UsageError for one with a sample."""
    if submission.sample is not None:
        raise UsageError(
            "a schedule takes no sample, because its jobs would wait for a person's choice; leave it out, and find the "
            "options with photochrom submit --sample"
        )
    return replace(submission, overwrite="new", missing_only=False)


def _set_times(schedule: Schedule, cron: str, timezone: str, *, now: datetime) -> None:
    """Raises UsageError for an invalid cron line or time zone."""
    following, cron = next_due(cron, timezone, after=now), " ".join(cron.split())
    is_changed = (schedule.cron, schedule.timezone) != (cron, timezone)
    schedule.cron, schedule.timezone = cron, timezone
    if is_changed and schedule.next_due_at and schedule.next_due_at > now:
        schedule.next_due_at = following


def enable(engine: Engine, name: str, actor: Actor) -> Schedule:
    """Enable a schedule; it does not catch up on missed times.

    Raises NotFound, and UsageError if its cron line is invalid.
    """
    with session_scope(engine) as session:
        schedule, now = schedules.named(session, name, lock=True), database_now(session)
        due_at = schedule.next_due_at or next_due(schedule.cron, schedule.timezone, after=now)
        schedules.set_enabled(session, name, due_at, now=now)
        _note(session, actor, "schedule_enable", name)
        return schedule


def disable(engine: Engine, name: str, actor: Actor) -> None:
    """Start no new jobs. A night whose source is still being listed ends as failed. Raises NotFound."""
    with session_scope(engine) as session:
        schedules.set_enabled(session, name, None, now=database_now(session))
        _note(session, actor, "schedule_disable", name)


def remove(engine: Engine, name: str, actor: Actor) -> None:
    """Raises NotFound."""
    with session_scope(engine) as session:
        schedules.remove(session, name, now=database_now(session))
        _note(session, actor, "schedule_remove", name)


def run_soon(engine: Engine, name: str, actor: Actor) -> None:
    """Let a scheduler list and submit it in its next round.

    Raises NotFound, and Conflict while an earlier run continues.
    """
    with session_scope(engine) as session:
        now = database_now(session)
        # The lease has ended already, so the first scheduler that sees it takes it over.
        schedules.fire_by_hand(session, name, now=now - timedelta(seconds=1), lease_seconds=0, tries=0)
        _note(session, actor, "schedule_run", name)


def run_now(engine: Engine, name: str, actor: Actor) -> schedules.FiringLease:
    """The caller lists and submits it, and holds its lease meanwhile. Raises as `run_soon`."""
    with session_scope(engine) as session:
        lease = schedules.fire_by_hand(session, name, now=database_now(session), lease_seconds=LEASE_SECONDS)
        _note(session, actor, "schedule_run", name)
        return lease


def _note(session: Session, actor: Actor, action: str, name: str) -> None:
    audit.note(session, actor.name, actor.via, action, now=database_now(session), detail={"schedule": name})
