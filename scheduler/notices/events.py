"""Events for notices. They are found in the job database's rows, so nothing must be remembered."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session

from db.models.access import AuditEntry
from db.models.jobs import Job, JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries.jobs import lifecycle, samples
from db.queries.pool import workers
from scheduler.text import counted, why_aborted

RECENT = timedelta(days=1)  # older events are not sent; otherwise a new receiver would get a notice of each old job
WITHOUT_WORKERS = timedelta(hours=1)
DIGESTS = "digest/"  # the names of digests begin so
LONGEST_DIGEST = timedelta(days=7)  # if digests were off for long, the next one does not list all jobs since then
_WAITS_SINCE = ("resume", "retry", "approve", "listed")  # actions after which a job's work waits for a worker again


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Its `name` is the same each time it is found; `path` is the address of its page."""

    name: str
    kind: str  # the CloudEvents type after "org.photochrom."
    title: str
    text: str
    path: str
    data: dict[str, Any]

    def content(self, web_url: str | None) -> dict[str, Any]:
        """What a receiver gets. It has a link only if PHOTOCHROM_WEB_URL is set."""
        link = f"{web_url.rstrip('/')}{self.path}" if web_url else None
        return {**{key: value for key, value in asdict(self).items() if key != "path"}, "link": link}


@dataclass(frozen=True, slots=True)
class Occurrence:
    """The name of an event, and what makes the event of it, which may take several queries.

    `event` returns None if there is nothing to tell yet.
    """

    name: str
    event: Callable[[], Event | None]


def recent_events(session: Session, now: datetime, *, since: datetime | None = None) -> Iterator[Occurrence]:
    """All events that receivers should know, whether they were sent or not.

    These are jobs that ended since `since` (None: in the last day), also because their source could not be listed; runs
    of schedules that failed in the last day; and what is still so: samples that wait for a choice, schedules whose
    latest run failed, and work that waits without workers.
    """
    yield from _ended_jobs(session, max(since or now - RECENT, now - RECENT))
    yield from _jobs_that_were_not_listed(session, max(since or now - RECENT, now - RECENT))
    yield from _sampled_jobs(session)
    yield from _failed_firings(session, now - RECENT)
    yield from _work_without_workers(session, now)


def _ended_jobs(session: Session, since: datetime) -> Iterator[Occurrence]:
    """Ended jobs, without those that a person cancelled and the small ones of samples and redos."""
    query = select(Job.id, Job.state, Job.finished_at, Job.selection)
    ended = query.where(Job.state.in_((JobState.COMPLETED, JobState.ABORTED)), Job.finished_at > since)
    for row in session.execute(ended.order_by(Job.id)):
        if not {"sample_of", "redone"} & set(row.selection or {}):
            name = f"job/{row.id}/{row.state}/{row.finished_at.isoformat()}"
            yield Occurrence(name, partial(_job_ended, session, name, row))


def _job_ended(session: Session, name: str, row: Row[Any]) -> Event:
    progress = lifecycle.progress(session, row.id)
    job, aborted = progress.job, row.state == JobState.ABORTED
    event_type = "job.aborted" if aborted else "job.completed"
    event_type += "_with_failures" if progress.failed and not aborted else ""
    counts = f"{counted(progress.done, 'scan')} done, {progress.failed:,} failed, {progress.skipped:,} skipped"
    return Event(
        name,
        event_type,
        f"Photochrom: {job.name} is {row.state}" + (" with failed scans" if event_type.endswith("failures") else ""),
        f"Job {job.id}, {job.name}: {counts}." + (f" {why_aborted(progress)}." if aborted else ""),
        f"/jobs/{job.id}",
        {"job": job.id, "done": progress.done, "failed": progress.failed, "skipped": progress.skipped},
    )


def _jobs_that_were_not_listed(session: Session, since: datetime) -> Iterator[Occurrence]:
    """Jobs that a scheduler cancelled, because their source could not be listed or has no scan to colour."""
    given_up = Job.listing["given_up"].as_boolean().is_(True)
    ended = select(Job).where(Job.state == JobState.CANCELLED, Job.finished_at > since, given_up)
    for job in session.scalars(ended.order_by(Job.id)):
        text = f"Job {job.id}, {job.name}, was cancelled before its first scan: {_why_not_listed(job)}"
        title = f"Photochrom: {job.name} was not begun"
        event = Event(f"job/{job.id}/not-listed", "job.listing_failed", title, text, f"/jobs/{job.id}", {"job": job.id})
        yield Occurrence(event.name, partial(_as_it_is, event))


def _why_not_listed(job: Job) -> str:
    """What the scheduler recorded when it gave up the listing; "" if it did not."""
    listing = job.listing or {}
    return str(listing["problem"]) if listing.get("given_up") and job.state == JobState.CANCELLED else ""


def _sampled_jobs(session: Session) -> Iterator[Occurrence]:
    sampled = select(Job.id, Job.name).where(Job.state == JobState.SAMPLED).order_by(Job.id)
    for row in session.execute(sampled):
        yield Occurrence(f"job/{row.id}/sampled", partial(_sample_waits, session, row.id, row.name))


def _sample_waits(session: Session, job_id: int, job_name: str) -> Event | None:
    if not all(progress.ended for progress in samples.of_job(session, job_id)):
        return None
    text = f"Job {job_id}, {job_name}: the sample is coloured. Approve one of the choices, or reject the sample."
    title = f"Photochrom: {job_name} is waiting for your choice"
    return Event(f"job/{job_id}/sampled", "job.sampled", title, text, f"/jobs/{job_id}/sample", {"job": job_id})


def _failed_firings(session: Session, fired_since: datetime) -> Iterator[Occurrence]:
    """Failed firings, chosen by the time of firing, and each schedule's latest firing if it failed.

    A row has no time of the failure, which may come hours later, or days later if no scheduler was running.
    """
    latest = select(func.max(Firing.id)).group_by(Firing.schedule_id)
    failed = select(Firing.id, Firing.message, Schedule.name).join(Schedule, Schedule.id == Firing.schedule_id)
    failed = failed.where(Firing.state == FiringState.FAILED, or_(Firing.fired_at > fired_since, Firing.id.in_(latest)))
    for firing_id, message, schedule in session.execute(failed.order_by(Firing.id)):
        title = f"Photochrom: schedule {schedule} failed"
        text = f"Schedule {schedule} made no job: {message}"
        data = {"schedule": schedule, "firing": firing_id}
        event = Event(f"firing/{firing_id}", "schedule.failed", title, text, "/schedules", data)
        yield Occurrence(event.name, partial(_as_it_is, event))


def _as_it_is(event: Event) -> Event:
    return event


def _work_without_workers(session: Session, now: datetime) -> Iterator[Occurrence]:
    """Work that waits without workers.

    The last heartbeat of any worker is part of its name, so it is sent once for each time without workers.
    """
    last = workers.last_heard(session)
    if last is not None and last.heartbeat_at > now - WITHOUT_WORKERS:
        return
    entries = select(func.max(AuditEntry.done_at)).where(
        AuditEntry.job_id == Job.id, AuditEntry.action.in_(_WAITS_SINCE)
    )
    running = select(Job.id, Job.name, Job.created_at, entries.scalar_subquery()).where(Job.state == JobState.RUNNING)
    for job_id, name, created_at, changed_at in session.execute(running.order_by(Job.id)):
        if max(created_at, changed_at or created_at) <= now - WITHOUT_WORKERS:
            silent_since = last.heartbeat_at.isoformat() if last else "ever"
            title, text = "Photochrom: no worker is running", f"Job {job_id}, {name}, is waiting for a worker."
            event = Event(f"no-worker/{silent_since}", "pool.no_worker", title, text, "/pool", {"job": job_id})
            yield Occurrence(event.name, partial(_as_it_is, event))
            return


def digest_name(now: datetime) -> str:
    return f"{DIGESTS}{now:%Y-%m-%d}"


def digest(session: Session, now: datetime, *, since: datetime | None = None) -> Event:
    """The digest: the jobs that ended since `since` (None: in the last 24 hours), and how many have not ended."""
    since = max(since or now - RECENT, now - LONGEST_DIGEST)
    ended = select(Job).where(Job.finished_at > since, Job.state.in_(JobState.ENDED)).order_by(Job.id)
    lines = []
    for job in session.scalars(ended):
        progress = lifecycle.progress(session, job.id)
        line = f"Job {job.id}, {job.name}: {job.state}, {progress.done:,} done, {progress.failed:,} failed."
        problem = _why_not_listed(job)
        lines.append(f"{line} It was not begun: {problem}" if problem else line)
    going = session.scalars(select(Job).where(Job.state.not_in(JobState.ENDED))).all()
    lines.append(f"{counted(len(going), 'job')} not finished.")
    title = f"Photochrom: {now:%Y-%m-%d}"
    return Event(digest_name(now), "digest", title, "\n".join(lines), "/jobs", {"jobs": len(lines) - 1})
