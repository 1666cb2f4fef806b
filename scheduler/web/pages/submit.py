"""A new job: a form that checks its fields, a preview of the job, and the submission."""

import time
from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from scheduler.actions import submissions
from scheduler.submission.request import Submitted
from scheduler.text import counted
from scheduler.web.api.schemas import SubmissionBody
from scheduler.web.auth.prefixes import expect_within
from scheduler.web.context import Context, Operator, TheContext
from scheduler.web.forms import DEFAULTS, Fields, choices, parse
from scheduler.web.rendering import render
from worker.errors import PhotochromError

router = APIRouter()

LOOK_SECONDS = 30.0  # how long a browser waits for a listing; proxies end a request after a minute


class LookedTooLong(PhotochromError):
    """A source is too large to be listed while a browser waits."""


@router.get("/jobs/new")
def show(request: Request, context: TheContext, _: Operator) -> Response:
    return _page(request, context, {**DEFAULTS, **dict(request.query_params)})


@router.post("/jobs/new")
def submit(request: Request, context: TheContext, identity: Operator, fields: Fields) -> Response:
    """`action`: "look" only lists and counts; "submit" makes the job."""
    look = fields.get("action") != "submit"
    try:
        body = parse(SubmissionBody, fields)
        expect_within(identity, body.source, body.destination, body.manifest)
        submitted = submissions.submit(
            context.engine,
            context.settings,
            body.submission(),
            identity.actor,
            dry_run=look,
            wait=False,
            progress=_limit(LOOK_SECONDS),
        )
    except PhotochromError as error:
        return _page(request, context, fields, problem=error.message, status=422)
    if look or submitted.job_id is None:
        return _page(request, context, fields, submitted=submitted)
    return RedirectResponse(f"/jobs/{submitted.job_id}", 303)


def _limit(seconds: float) -> Callable[[Submitted], None]:
    until = time.monotonic() + seconds

    def expect_time(submitted: Submitted) -> None:
        if time.monotonic() >= until:
            count = counted(submitted.scans, "scan")
            raise LookedTooLong(
                f"the source is too large to be counted here: {count} in {seconds:.0f} seconds, and there are more; "
                "submit it, and a scheduler lists it, or count it with photochrom submit --dry-run"
            )

    return expect_time


def _page(
    request: Request,
    context: Context,
    fields: dict[str, str],
    *,
    problem: str = "",
    submitted: Submitted | None = None,
    status: int = 200,
) -> Response:
    values = {"fields": {**DEFAULTS, **fields}, "problem": problem, "submitted": submitted, **choices(context)}
    return render(request, "new_job.html", values, status=status)
