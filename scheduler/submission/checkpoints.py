"""Which checkpoints the workers in use have."""

from datetime import timedelta

from sqlalchemy import Engine

from db.clock import database_now
from db.queries.pool import workers
from db.session import read_scope
from worker.model.checkpoint import STAND_IN, bundled_checkpoint_path, read_card
from worker.settings.settings import Settings


def checkpoints_in_use(engine: Engine, settings: Settings) -> list[str]:
    """The ids of those that would colour a scan now: of the workers that live, or of one that this machine is set to.

    Where neither says, that of the worker that was heard of last, or else the bundled one.
    """
    with read_scope(engine) as session:
        heard_after = database_now(session) - timedelta(seconds=settings.silent_seconds)
        live = workers.live(session, heard_after=heard_after)
        last = workers.last_heard(session)
    if ids := sorted({each.checkpoint for each in live if each.checkpoint}):
        return ids
    if settings.checkpoint is None and last is not None and last.checkpoint:
        return [last.checkpoint]
    return [own_checkpoint(settings)]


def own_checkpoint(settings: Settings) -> str:
    """The id of the checkpoint that a worker with these settings would use; raises CheckpointError."""
    if settings.stand_in_model_milliseconds is not None:
        return STAND_IN
    return read_card(settings.checkpoint or bundled_checkpoint_path()).id
