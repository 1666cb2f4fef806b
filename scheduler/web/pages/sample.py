"""A job's sample: each scan in grey and coloured by each choice, with buttons to choose."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from db.models.jobs import ScanState
from db.queries.jobs import samples
from db.session import read_scope
from scheduler.actions import samples as actions
from scheduler.web.api.schemas import ChoiceBody
from scheduler.web.context import Operator, TheContext, Viewer
from scheduler.web.forms import Fields, parse
from scheduler.web.pages.job import head_values
from scheduler.web.parameters import Id
from scheduler.web.rendering import render

router = APIRouter()


@router.get("/jobs/{job_id}/sample")
def show(request: Request, context: TheContext, identity: Viewer, job_id: Id) -> Response:
    context.job(identity, job_id)
    with read_scope(context.engine) as session:
        values = head_values(session, context, job_id)
        tried = samples.of_job(session, job_id)
        rows = samples.scans(session, tried)
        pace = samples.scans_per_second(tried)
    values |= {
        "tab": "sample",
        "tried": tried,
        "rows": rows,
        "hours_seconds": values["job"].scan_count / pace if pace else None,
        "done_state": ScanState.DONE,
    }
    return render(request, "sample.html", values)


@router.post("/jobs/{job_id}/approve")
def approve(context: TheContext, identity: Operator, job_id: Id, fields: Fields) -> Response:
    context.job(identity, job_id)
    body = parse(ChoiceBody, fields)
    actions.approve(
        context.engine, context.settings, job_id, identity.actor, head=body.head, saturation=body.saturation
    )
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/reject")
def reject(context: TheContext, identity: Operator, job_id: Id) -> Response:
    context.job(identity, job_id)
    actions.reject(context.engine, job_id, identity.actor)
    return RedirectResponse(f"/jobs/{job_id}", 303)
