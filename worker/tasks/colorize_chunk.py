"""The task of a chunk in a child: claim, colourize, record, release. Only this package decides on a retry."""

import logging
from functools import cached_property

from celery import Task

from db.clock import database_now
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage, Claim
from db.session import session_scope
from worker.broker.app_factory import COLORIZE_CHUNK
from worker.errors import LeaseLost, UsageError
from worker.observability.logs import log_context
from worker.settings.settings import forget_secrets, load_settings
from worker.system.boot_clock import boot_seconds
from worker.system.process_limits import limit_processor_seconds
from worker.tasks.app import app
from worker.tasks.child import Child
from worker.tasks.chunk_run import ChunkRun
from worker.tasks.lease import Lease

logger = logging.getLogger(__name__)


class ColorizeChunk(Task):  # type: ignore[misc]
    @cached_property
    def child(self) -> Child:
        settings = load_settings()
        # Code that decodes files from outside must find no secrets in its environment.
        forget_secrets()
        return Child(settings)


@app.task(base=ColorizeChunk, bind=True, name=COLORIZE_CHUNK)
def colorize_chunk(task: ColorizeChunk, chunk_id: int, attempt: int) -> None:
    """Colourize a chunk's scans. If the message came twice or late, the claim fails, and the task ends."""
    if not (type(chunk_id) is int and type(attempt) is int):
        logger.error("dropped a message that does not name a chunk and an attempt by numbers")
        return
    message = ChunkMessage(chunk_id, attempt)
    # Meanwhile the scheduler may send the chunk to another worker; then the claim here fails.
    task.child.wait_for_access()
    # The limit is the time that Celery allows for a chunk; a decoder in an endless loop uses one core.
    limit_processor_seconds(task.child.settings.hard_time_limit_seconds * task.child.settings.threads_for())
    asked_at = boot_seconds()
    claim = _claim(task.child, message)
    if claim is None:
        logger.debug("chunk %d, attempt %d can't be claimed: an old or double message", chunk_id, attempt)
        return
    try:
        with log_context(worker=task.child.runtime.worker_name, job=claim.job.id, chunk=chunk_id):
            ChunkRun(task.child, claim, Lease(task.child.settings.lease_seconds, asked_at)).run()
    except LeaseLost as error:
        logger.warning("%s; dropped what was left of it", error)
    except UsageError as error:
        # The next job would fail too, so the whole worker ends and says why.
        task.child.runtime.drain(error.message)
    finally:
        task.child.freed_memory.give_back()


def _claim(child: Child, message: ChunkMessage) -> Claim | None:
    with session_scope(child.engine) as session:
        now = database_now(session)
        return claims.claim(session, message, worker=child.holder, lease_seconds=child.settings.lease_seconds, now=now)
