"""Outputs that somebody asked to make again: whether the new ones are there, and the jobs that make them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session, aliased

from db.models.jobs import Job, JobState, Scan, ScanState
from db.models.reviews import Review, Verdict

ASKED_FOR, FAILED, STOPPED = "redo asked for", "redo failed", "redo stopped"
_STOPPED = (JobState.CANCELLED, JobState.ABORTED)


@dataclass(slots=True)
class RedoJob:
    """A job that makes outputs again, and how many of these do not exist yet: `waiting` to be made, and `failed`."""

    job: Job
    waiting: int = 0
    failed: int = 0


def stage(job: Job, state: str | None) -> str:
    """The word for an output that `job` makes again. `state`: of the scan in that job; None if that job is archived."""
    if state in (None, ScanState.DONE):
        return Verdict.REDONE
    if state != ScanState.PENDING:
        return FAILED
    return STOPPED if job.state in _STOPPED else ASKED_FOR


def stages(session: Session, job_id: int, scan_ids: Sequence[int]) -> dict[int, str]:
    """For each of these outputs whose latest verdict is a redo: its word, by the scan's id."""
    again = aliased(Scan)
    rows = session.execute(_latest(job_id, again, Scan.id, Job, again.state).where(Scan.id.in_(scan_ids)))
    return {row[0]: stage(row[1], row[2]) for row in rows}


def with_two_results(session: Session, job_id: int, scan_ids: Sequence[int]) -> set[int]:
    """Those of these outputs that were made again beside the earlier ones, and for which nobody has chosen yet."""
    again = aliased(Scan)
    ready = (again.state == ScanState.DONE, Job.selection["beside"].as_boolean().is_(True))
    return set(session.scalars(_latest(job_id, again, Scan.id).where(Scan.id.in_(scan_ids), *ready)))


def tally(session: Session, job_id: int) -> tuple[dict[str, int], list[RedoJob]]:
    """How many outputs have each word, and the jobs whose outputs do not all exist yet."""
    again = aliased(Scan)
    counts = _latest(job_id, again, Job.id, again.state, func.count()).group_by(Job.id, again.state)
    rows = session.execute(counts.order_by(Job.id)).all()
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_({row[0] for row in rows})))}
    return _sums((jobs[row[0]], row[1], row[2]) for row in rows)


def of_scan(again: Scan, job: Job) -> list[RedoJob]:
    """The job that makes one output again, as `tally` gives it; an empty list if the new output exists."""
    return _sums([(job, again.state, 1)])[1]


def _sums(rows: Iterable[tuple[Job, str | None, int]]) -> tuple[dict[str, int], list[RedoJob]]:
    words: dict[str, int] = {}
    unfinished: dict[int, RedoJob] = {}
    for job, state, count in rows:
        word = stage(job, state)
        words[word] = words.get(word, 0) + count
        if word != Verdict.REDONE:
            redo = unfinished.setdefault(job.id, RedoJob(job))
            redo.failed += count if word == FAILED else 0
            redo.waiting += count if word != FAILED else 0
    return words, list(unfinished.values())


def _latest(job_id: int, again: Any, *columns: Any) -> Select[Any]:
    """Rows of the job's outputs whose latest verdict is a redo, each with its scan in the job of the redo."""
    newest = (
        select(func.max(Review.id))
        .join(Scan, Scan.id == Review.scan_id)
        .where(Scan.job_id == job_id, Scan.verdict == Verdict.REDONE)
        .group_by(Review.scan_id)
    )
    same = and_(again.job_id == Review.redo_job_id, again.output_key == Scan.output_key)
    return (
        select(*columns)
        .select_from(Review)
        .join(Scan, Scan.id == Review.scan_id)
        .join(Job, Job.id == Review.redo_job_id)
        .outerjoin(again, same)
        .where(Review.id.in_(newest))
    )
