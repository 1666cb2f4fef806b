"""Submit a collection, or only list and count it."""

from collections.abc import Callable

from sqlalchemy import Engine

from db.session import read_scope
from scheduler.access.actor import Actor
from scheduler.actions.model_choices import expect_submission
from scheduler.submission.checkpoints import checkpoints_in_use
from scheduler.submission.request import Submission, Submitted
from scheduler.submission.submitter import Submitter
from worker.settings.settings import Settings


def submit(
    engine: Engine,
    settings: Settings,
    submission: Submission,
    actor: Actor,
    *,
    dry_run: bool = False,
    wait: bool = True,
    progress: Callable[[Submitted], None] = lambda _: None,
) -> Submitted:
    """`wait` False: return at once, and let a scheduler list the source.

    Raises UsageError, also for a head or an embedding that nobody has; ServiceUnavailable.
    """
    with read_scope(engine) as session:
        expect_submission(session, settings, submission)
    submitter = submitter_of(engine, settings, submission, actor, progress=progress)
    if dry_run:
        return submitter.dry_run(submission)
    return submitter.submit(submission) if wait else submitter.submit_later(submission)


def submitter_of(
    engine: Engine,
    settings: Settings,
    submission: Submission,
    actor: Actor | None,
    *,
    progress: Callable[[Submitted], None] = lambda _: None,
) -> Submitter:
    """A submitter that leaves out scans that are done already by the checkpoints that would colour them now."""
    return Submitter(
        engine,
        s3=settings.s3_options,
        chunk_scans=settings.chunk_scans,
        checkpoints=lambda: checkpoints_in_use(engine, settings, head=submission.head, embedding=submission.embedding),
        progress=progress,
        actor=actor,
    )
