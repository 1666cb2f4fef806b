"""Approve or reject a job that waits for a choice from its sample."""

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.access import audit
from db.queries.jobs import samples
from db.session import session_scope
from scheduler.access.actor import Actor
from scheduler.actions.model_choices import expect_available
from scheduler.submission.sampling import chosen_options
from worker.settings.settings import Settings


def approve(
    engine: Engine, settings: Settings, job_id: int, actor: Actor, *, head: str | None, saturation: float | None
) -> list[str]:
    """Let the other scans be coloured with this choice. Returns the names of the sample's choices if this is none of
    them, so that a person may be told.

    Raises NotFound, Conflict; UsageError, also for a head that nobody has.
    """
    options = chosen_options(head, saturation)
    with session_scope(engine) as session:
        before = samples.approve(session, job_id, options)
        expect_available(session, settings, {"head": head}, job_options=before)
        audit.note(session, actor.name, actor.via, "approve", now=database_now(session), job_id=job_id, detail=options)
        shown = {
            progress.job.selection["choice"]: progress.job.selection["chosen"]
            for progress in samples.of_job(session, job_id)
            if progress.job.selection
        }
    is_shown = any({**before, **choice} == {**before, **options} for choice in shown.values())
    return [] if is_shown else list(shown)


def reject(engine: Engine, job_id: int, actor: Actor) -> None:
    """End the job and the unfinished jobs of its sample. Raises NotFound, Conflict."""
    with session_scope(engine) as session:
        now = database_now(session)
        samples.reject(session, job_id, now=now)
        audit.note(session, actor.name, actor.via, "reject_sample", now=now, job_id=job_id)
