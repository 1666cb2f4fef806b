"""The page of schedulers and workers, and the doctor's findings."""

from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from db.clock import database_now
from db.queries.pool import schedulers, workers
from db.session import read_scope
from scheduler.doctor import look
from scheduler.rows import worker_row
from scheduler.web.context import Operator, TheContext, Viewer
from scheduler.web.rendering import render

router = APIRouter()
SHOWN_FOR = timedelta(hours=1)


@router.get("/pool")
def show(request: Request, context: TheContext, _: Viewer, fragment: bool = False) -> Response:
    silent_seconds = context.settings.silent_seconds
    with read_scope(context.engine) as session:
        now = database_now(session)
        recent = workers.recent(session, heard_after=now - SHOWN_FOR)
        scheduler = schedulers.last_heard(session)
    rows = [worker_row(worker, now=now, silent_seconds=silent_seconds) for worker in recent]
    values = {
        "workers": rows,
        "now": now,
        "scheduler": scheduler,
        "scheduler_silent": scheduler is None
        or scheduler.stopped_at is not None
        or scheduler.heartbeat_at < now - timedelta(seconds=silent_seconds),
    }
    return render(request, "pool_list.html" if fragment else "pool.html", values)


@router.post("/pool/doctor")
def examine(request: Request, context: TheContext, identity: Operator) -> Response:
    """The findings of `photochrom doctor --no-model` on the machine that serves these pages."""
    looked = look(context.settings, source=None, destination=None, with_model=False, prefixes=identity.prefixes)
    findings = list(looked)
    return render(request, "doctor.html", {"findings": findings})
