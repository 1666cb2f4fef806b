"""Lists of jobs for the pages, the newest first, with their counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models.jobs import Chunk, Job, JobState, Scan, ScanState
from db.models.schedules import Schedule
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import Progress
from db.queries.substrings import begins_with, has_part

UNENDED = tuple(state for state in JobState.ALL if state not in JobState.ENDED)


def within(prefixes: Sequence[str] | None, table: type[Job] | type[Schedule] = Job) -> list[ColumnElement[bool]]:
    """The condition that source and destination are both under one of the prefixes; none if `prefixes` is None."""
    if prefixes is None:
        return []
    return [_lies_in(table.source, prefixes), _lies_in(table.destination, prefixes)]


def _lies_in(column: InstrumentedAttribute[str], prefixes: Sequence[str]) -> ColumnElement[bool]:
    conditions = (
        or_(column == prefix, begins_with(column, prefix + "/"))
        for prefix in (folder.rstrip("/") for folder in prefixes)
    )
    return or_(false(), *conditions)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs: in this state ("unended": every state that is not final), under these prefixes, with this text in
    their name.
    """

    state: str | None = None
    prefixes: Sequence[str] | None = None
    text: str | None = None

    def apply(self, query: Select[Job]) -> Select[Job]:
        query = query.where(*within(self.prefixes))
        if self.text:
            parts = (has_part(column, self.text) for column in (Job.name, Job.source, Job.destination))
            query = query.where(or_(*parts))
        if self.state == "unended":
            return query.where(Job.state.in_(UNENDED))
        return query.where(Job.state == self.state) if self.state else query


def page(session: Session, chosen: JobFilter, *, before: int | None, limit: int) -> tuple[list[Progress], int | None]:
    """Up to `limit` jobs with ids below `before`, and the value of `before` for the next page; None at the end."""
    query = chosen.apply(select(Job)).order_by(Job.id.desc())
    jobs = list(session.scalars((query.where(Job.id < before) if before else query).limit(limit + 1)))
    more, jobs = len(jobs) > limit, jobs[:limit]
    counts = _counts(session, [job.id for job in jobs if job.state in JobState.ENDED])
    progress_of_jobs = [
        _ended(job, counts.get(job.id, (0, 0, 0)))
        if job.state in JobState.ENDED
        else lifecycle.progress(session, job.id)
        for job in jobs
    ]
    return progress_of_jobs, jobs[-1].id if more else None


def visible(session: Session, job_id: int, prefixes: Sequence[str] | None) -> Job | None:
    """The job, or None if it does not exist or is not under the prefixes."""
    return session.scalar(select(Job).where(Job.id == job_id, *within(prefixes)))


def visible_scan(session: Session, job_id: int, scan_id: int, prefixes: Sequence[str] | None) -> Scan | None:
    if visible(session, job_id, prefixes) is None:
        return None
    return session.scalar(select(Scan).where(Scan.id == scan_id, Scan.job_id == job_id))


def count_doubtful(session: Session, job_id: int, *, limit: int) -> int:
    """How many outputs need review, at most `limit`."""
    doubtful = select(Scan.id).where(Scan.job_id == job_id, Scan.review_weight.is_not(None)).limit(limit).subquery()
    return session.scalar(select(func.count()).select_from(doubtful)) or 0


def verdict_counts(session: Session, job_id: int) -> dict[str, int]:
    """How many scans of the job have each verdict."""
    rows = session.execute(
        select(Scan.verdict, func.count())
        .where(Scan.job_id == job_id, Scan.verdict.is_not(None))
        .group_by(Scan.verdict)
    )
    return {str(row[0]): row[1] for row in rows}


def problem_counts(session: Session, job_id: int) -> list[tuple[str, str, int]]:
    """(state, code, count) of scans with an error code: failed, then skipped, then waiting; in each state the most
    frequent first.
    """
    rows = session.execute(
        select(Scan.error_code, Scan.state, func.count())
        .where(Scan.job_id == job_id, Scan.error_code.is_not(None))
        .group_by(Scan.error_code, Scan.state)
    )
    order = (ScanState.FAILED, ScanState.SKIPPED, ScanState.PENDING, ScanState.DONE)
    counts = [(row[1], str(row[0]), row[2]) for row in rows]
    return sorted(counts, key=lambda row: (order.index(row[0]), -row[2], row[1]))


def example(session: Session, job_id: int, state: str, code: str) -> Scan | None:
    """One scan with that code."""
    chosen = and_(Scan.job_id == job_id, Scan.error_code == code, Scan.state == state)
    return session.scalar(select(Scan).where(chosen).order_by(Scan.id).limit(1))


def _counts(session: Session, job_ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    if not job_ids:
        return {}
    counted = Chunk.done_count, Chunk.failed_count, Chunk.skipped_count
    sums = (func.coalesce(func.sum(column), 0) for column in counted)
    rows = session.execute(select(Chunk.job_id, *sums).where(Chunk.job_id.in_(job_ids)).group_by(Chunk.job_id))
    return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}


def _ended(job: Job, counts: tuple[int, int, int]) -> Progress:
    """The progress of a job that has ended, without its pace, which only the job's own page shows."""
    return Progress(job, *counts, None, None, None)
