"""Submit a collection, or only list and count it."""

from collections.abc import Callable

from sqlalchemy import Engine

from scheduler.actions.actor import Actor
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
    progress: Callable[[Submitted], None] = lambda _: None,
) -> Submitted:
    """Submit a collection, or list and count it if `dry_run`; see Submitter. Raises UsageError, ServiceUnavailable."""
    submitter = Submitter(
        engine,
        s3=settings.s3_options,
        chunk_scans=settings.chunk_scans,
        checkpoints=lambda: checkpoints_in_use(engine, settings, head=submission.head, embedding=submission.embedding),
        progress=progress,
        actor=actor,
    )
    return submitter.dry_run(submission) if dry_run else submitter.submit(submission)
