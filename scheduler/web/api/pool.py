"""Workers."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter

from db.clock import database_now
from db.queries.pool import workers
from db.session import read_scope
from scheduler.rows import worker_row
from scheduler.web.api.schemas import WorkerOut
from scheduler.web.context import TheContext, Viewer

router = APIRouter(tags=["workers"])


@router.get("/workers", response_model=list[WorkerOut])  # type: ignore[valid-type]  # made at run time
def list_workers(context: TheContext, _: Viewer) -> Any:
    """The workers with a heartbeat in the last hour. `state`: at work, silent or stopped."""
    with read_scope(context.engine) as session:
        now = database_now(session)
        rows = workers.recent(session, heard_after=now - timedelta(hours=1))
    return [worker_row(worker, now=now, silent_seconds=context.settings.silent_seconds) for worker in rows]
