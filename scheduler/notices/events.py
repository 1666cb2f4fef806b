"""Events for notices. They are found in the job database's rows, so nothing must be remembered."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.jobs import Job, JobState
from db.models.schedules import Firing, FiringState, Schedule
from db.queries.jobs import lifecycle, samples
from db.queries.pool import workers
from scheduler.text import counted, why_aborted

RECENT = timedelta(days=1)  # an older event is no news; without this limit, a new receiver would get all of them
WITHOUT_WORKERS = timedelta(hours=1)


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


def recent_events(session: Session, now: datetime) -> Iterator[Event]:
    """All recent events, sent or not."""
    yield from _ended_jobs(session, now)
    yield from _sampled_jobs(session)
    yield from _failed_firings(session, now)
    yield from _work_without_workers(session, now)


def _ended_jobs(session: Session, now: datetime) -> Iterator[Event]:
    """Ended jobs, without those that a person cancelled and the small ones of samples and redos."""
    ended = select(Job).where(Job.state.in_((JobState.COMPLETED, JobState.ABORTED)), Job.finished_at > now - RECENT)
    for job in session.scalars(ended.order_by(Job.id)):
        if {"sample_of", "redone"} & set(job.selection or {}):
            continue
        progress = lifecycle.progress(session, job.id)
        event_type = "job.aborted" if job.state == JobState.ABORTED else "job.completed"
        event_type += "_with_failures" if event_type == "job.completed" and progress.failed else ""
        counts = f"{counted(progress.done, 'scan')} done, {progress.failed:,} failed, {progress.skipped:,} skipped"
        text = f"Job {job.id}, {job.name}: {counts}." + (f" {why_aborted(progress)}." if job.state == "aborted" else "")
        assert job.finished_at is not None
        yield Event(
            f"job/{job.id}/{job.state}/{job.finished_at.isoformat()}",
            event_type,
            f"Photochrom: {job.name} is {job.state}" + (" with failures" if event_type.endswith("failures") else ""),
            text,
            f"/jobs/{job.id}",
            {"job": job.id, "done": progress.done, "failed": progress.failed, "skipped": progress.skipped},
        )


def _sampled_jobs(session: Session) -> Iterator[Event]:
    for job in session.scalars(select(Job).where(Job.state == JobState.SAMPLED).order_by(Job.id)):
        if all(progress.ended for progress in samples.of_job(session, job.id)):
            text = f"Job {job.id}, {job.name}: its sample is coloured; approve one of the choices, or reject it."
            title = f"Photochrom: {job.name} waits for your choice"
            yield Event(f"job/{job.id}/sampled", "job.sampled", title, text, f"/jobs/{job.id}/sample", {"job": job.id})


def _failed_firings(session: Session, now: datetime) -> Iterator[Event]:
    failed = select(Firing, Schedule).join(Schedule, Schedule.id == Firing.schedule_id)
    failed = failed.where(Firing.state == FiringState.FAILED, Firing.fired_at > now - RECENT).order_by(Firing.id)
    for firing, schedule in session.execute(failed):
        title = f"Photochrom: the schedule {schedule.name} failed"
        text = f"The schedule {schedule.name} made no job: {firing.message}"
        data = {"schedule": schedule.name, "firing": firing.id}
        yield Event(f"firing/{firing.id}", "schedule.failed", title, text, "/schedules", data)


def _work_without_workers(session: Session, now: datetime) -> Iterator[Event]:
    """Work that waits without workers. The event is named by its begin, so that it is sent once."""
    waiting = session.scalar(select(Job).where(Job.state == JobState.RUNNING).order_by(Job.id).limit(1))
    if waiting is None:
        return
    last = workers.last_heard(session)
    silent_since = max(last.heartbeat_at, waiting.created_at) if last else waiting.created_at
    if silent_since < now - WITHOUT_WORKERS:
        title, text = (
            "Photochrom: work waits and no worker runs",
            f"Job {waiting.id}, {waiting.name}, waits for a worker.",
        )
        name = f"no-worker/{silent_since.isoformat()}"
        yield Event(name, "pool.no_worker", title, text, "/pool", {"job": waiting.id})


def digest(session: Session, now: datetime) -> Event:
    """The digest of the jobs that ended on the day before."""
    ended = select(Job).where(Job.finished_at > now - RECENT, Job.state.in_(JobState.ENDED)).order_by(Job.id)
    lines = []
    for job in session.scalars(ended):
        progress = lifecycle.progress(session, job.id)
        lines.append(f"Job {job.id}, {job.name}: {job.state}, {progress.done:,} done, {progress.failed:,} failed.")
    going = session.scalars(select(Job).where(Job.state.not_in(JobState.ENDED))).all()
    lines.append(f"{counted(len(going), 'job')} going on.")
    title = f"Photochrom: {now:%Y-%m-%d}"
    return Event(f"digest/{now:%Y-%m-%d}", "digest", title, "\n".join(lines), "/jobs", {"jobs": len(lines) - 1})
