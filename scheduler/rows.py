"""Jobs, scans, workers and schedules as plain values, which `--json` prints and the HTTP API answers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from db.models.archives import ArchivedScan
from db.models.base import Base
from db.models.jobs import Job, Scan
from db.models.pool import Worker
from db.models.reviews import Review
from db.models.schedules import Firing, Schedule
from db.queries.jobs.lifecycle import Progress
from scheduler.text import why_aborted


def job_row(progress: Progress, hints: Sequence[str] = ()) -> dict[str, Any]:
    """A job as a row. `hints`: why an unfinished job does not continue."""
    job = progress.job
    return {
        "job": job.id,
        "name": job.name,
        "state": job.state,
        "source": job.source,
        "destination": job.destination,
        "options": job.options,
        "priority": job.priority,
        "scans": progress.total,
        "done": progress.done,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "pending": progress.pending,
        "scans_per_second": progress.scans_per_second,
        "seconds_left": seconds_left(progress),
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "report": report_of(progress),
        "archive": archive_of(job),
        "max_failures": job.max_failures,
        "aborted_because": why_aborted(progress),
        "submitted_by": job.submitted_by,
        "hints": [] if progress.ended else list(hints),
    }


def report_of(progress: Progress) -> str | None:
    """Where the job's report is; None if there is none."""
    return f"{progress.job.destination}/{progress.job.report_key}" if progress.job.report_key else None


def seconds_left(progress: Progress) -> float | None:
    """The seconds until the job ends, at its pace so far; None if it has ended or its pace is unknown."""
    per_second = progress.scans_per_second
    return progress.pending / per_second if progress.pending and per_second and not progress.ended else None


def scan_row(scan: Scan) -> dict[str, Any]:
    """Every column of a scan's row."""
    return _columns(scan)


def history_row(scan: Scan | ArchivedScan, job: Job) -> dict[str, Any]:
    """A scan's row in its history. For an archived scan, it has what the database still knows, and where
    the rest is.
    """
    its_job = {"job_name": job.name, "job_state": job.state}
    if isinstance(scan, Scan):
        return {**scan_row(scan), **its_job}
    columns = {"id": scan.scan_id, **_columns(scan), "output_key": scan.output_key, "archive": archive_of(job)}
    del columns["scan_id"], columns["other_output_key"]
    return {**columns, **its_job}


def archive_of(job: Job) -> str | None:
    """Where the rows of an archived job's scans are; None if they are in the database."""
    return f"{job.destination}/{job.archive_key}" if job.archive_key else None


def worker_state(worker: Worker, *, now: datetime, silent_seconds: float) -> str:
    """ "at work"; "silent": without a heartbeat for too long; or "stopped": it ended on purpose."""
    if worker.stopped_at is not None:
        return "stopped"
    return "at work" if worker.heartbeat_at >= now - timedelta(seconds=silent_seconds) else "silent"


def worker_row(worker: Worker, *, now: datetime, silent_seconds: float) -> dict[str, Any]:
    return _columns(worker) | {"state": worker_state(worker, now=now, silent_seconds=silent_seconds)}


def verdict_row(review: Review, source_key: str) -> dict[str, Any]:
    return {"source_key": source_key, **_columns(review)}


def schedule_row(schedule: Schedule, same_destination: Sequence[str] = ()) -> dict[str, Any]:
    """`same_destination`: the names of other schedules with its destination."""
    warnings = [f"the schedule {name!r} writes into {schedule.destination} too" for name in same_destination]
    return {**_columns(schedule), "warnings": warnings}


def schedule_rows(schedules: Sequence[Schedule]) -> list[dict[str, Any]]:
    """The rows of a list of schedules, with warnings about those of them that share a destination."""
    names: dict[str, list[str]] = {}
    for schedule in schedules:
        names.setdefault(schedule.destination, []).append(schedule.name)
    return [
        schedule_row(schedule, [name for name in names[schedule.destination] if name != schedule.name])
        for schedule in schedules
    ]


def firing_row(firing: Firing, job: Job | None) -> dict[str, Any]:
    return {**_columns(firing), "job_state": job and job.state}


def _columns(row: Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
