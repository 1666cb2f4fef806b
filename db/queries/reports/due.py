"""Which job's report must be written, and by which scheduler."""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models.jobs import Job, JobState

TRIES = 3  # tries that end in an error or kill the scheduler
GIVE_UP_AFTER = timedelta(days=1)  # since the job's end


def claim(session: Session, *, now: datetime, until: datetime) -> int | None:
    """Claim an ended job whose report is due; None if there is none.

    Nobody else claims it before `until`; then it is due again, TRIES times at most.
    """
    due = (
        select(Job.id)
        .where(
            Job.report_due_at <= now,
            Job.report_tries < TRIES,
            Job.state.in_(JobState.ENDED),
            Job.finished_at > now - GIVE_UP_AFTER,
        )
        .order_by(Job.report_due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    values = {"report_due_at": until, "report_tries": Job.report_tries + 1}
    claimed = update(Job).where(Job.id == due.scalar_subquery()).values(values).returning(Job.id)
    return session.scalar(claimed.execution_options(synchronize_session=False))


def is_expected(job: Job, *, now: datetime) -> bool:
    """Whether a scheduler that is running would still write the report of this ended job."""
    ended_lately = job.finished_at is not None and job.finished_at > now - GIVE_UP_AFTER
    return ended_lately and job.report_due_at is not None and job.report_tries < TRIES


def put_off(session: Session, job_id: int) -> None:
    """Undo the count of this try, because a service failed and not the report."""
    query = update(Job).where(Job.id == job_id, Job.report_tries > 0).values(report_tries=Job.report_tries - 1)
    session.execute(query.execution_options(synchronize_session=False))


def written(session: Session, job_id: int, key: str, *, claimed_until: datetime) -> None:
    """Record the report's key. If the job has ended again meanwhile, its next report stays due."""
    session.execute(update(Job).where(Job.id == job_id).values(report_key=key))
    mine = (Job.id == job_id, Job.report_due_at == claimed_until)
    session.execute(update(Job).where(*mine).values(report_due_at=None).execution_options(synchronize_session=False))
