"""Verdicts on scans: on one, or on many that are chosen in the grid."""

from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Form, Request
from pydantic import Field, ValidationError
from starlette.responses import RedirectResponse, Response

from scheduler.actions import reviews as actions
from scheduler.actions.reviews import Seen
from scheduler.web.api.schemas import RedoChoices
from scheduler.web.auth.identity import Identity
from scheduler.web.context import Context, Reviewer, TheContext
from scheduler.web.errors import status_and_code
from scheduler.web.forms import Fields, parse
from scheduler.web.pages.job import GridQuery, RefusedChoice, grid_page
from scheduler.web.pages.jobs import own_address
from scheduler.web.parameters import LARGEST, Id, Note
from worker.errors import UsageError

router = APIRouter()
ScanIds = Annotated[list[Annotated[int, Field(ge=1, le=LARGEST)]], Form(max_length=actions.MOST_AT_ONCE)]
# Of each scan in the grid: its id, a colon, and the review that the page showed, 0 for none.
SeenPairs = Annotated[
    list[Annotated[str, Field(pattern=r"^[0-9]{1,18}:[0-9]{1,18}$")]] | None, Form(max_length=actions.MOST_AT_ONCE)
]


@router.post("/jobs/{job_id}/verdicts")
def decide_many(
    request: Request,
    context: TheContext,
    identity: Reviewer,
    job_id: Id,
    action: Annotated[Literal["accept", "reject", "redo", "keep", "take"], Form()],
    scan: ScanIds,
    fields: Fields,
    seen: SeenPairs = None,
    note: Annotated[Note, Form()] = None,
    next: Annotated[str, Form(max_length=4_096)] = "/jobs",
) -> Response:
    """If somebody has given a newer verdict on one of the scans than the page showed, nothing is recorded, and the
    grid is shown again with the new verdicts and the person's choice.
    """
    context.job(identity, job_id)
    reviews_seen = _seen(scan, seen or ())
    try:
        if action == "redo":
            _redo(context, identity, job_id, fields, reviews_seen)
        elif action in actions.CHOICES:
            _choose(context, identity, job_id, actions.CHOICES[action], reviews_seen, note=note)
        else:
            actions.decide(context.engine, job_id, scan, action, identity.actor, note=note, seen=reviews_seen)
    except UsageError as error:
        status, _ = status_and_code(error)
        refused = RefusedChoice(error.message, scan, fields, status)
        return grid_page(request, context, job_id, _grid_query(own_address(next)), refused)
    return RedirectResponse(own_address(next), 303)


def _grid_query(address: str) -> GridQuery:
    """Which scans the grid at this address shows; the first ones for an address that is none of the grid."""
    try:
        return GridQuery.model_validate(dict(parse_qsl(urlsplit(address).query)))
    except ValidationError:
        return GridQuery()


def _seen(scan_ids: Sequence[int], pairs: Sequence[str]) -> dict[int, int | None]:
    """The review that the page showed, by the scan's id. A scan without a pair was shown without a review."""
    review_ids = {int(scan_id): int(review_id) for scan_id, review_id in (pair.split(":") for pair in pairs)}
    return {scan_id: review_ids.get(scan_id) or None for scan_id in scan_ids}


@router.post("/jobs/{job_id}/scans/{scan_id}/redo")
def redo(
    context: TheContext,
    identity: Reviewer,
    job_id: Id,
    scan_id: Id,
    seen: Annotated[int, Form(ge=0, le=LARGEST)],
    fields: Fields,
    next: Annotated[str, Form(max_length=4_096)] = "/jobs",
) -> Response:
    context.scan(identity, job_id, scan_id)
    _redo(context, identity, job_id, fields, {scan_id: seen or None})
    return RedirectResponse(own_address(next), 303)


@router.post("/jobs/{job_id}/scans/{scan_id}/choose")
def choose(
    context: TheContext,
    identity: Reviewer,
    job_id: Id,
    scan_id: Id,
    chosen: Annotated[Literal["earlier", "new"], Form()],
    seen: Annotated[int, Form(ge=0, le=LARGEST)],
    next: Annotated[str, Form(max_length=4_096)] = "/jobs",
) -> Response:
    context.scan(identity, job_id, scan_id)
    _choose(context, identity, job_id, chosen, {scan_id: seen or None})
    return RedirectResponse(own_address(next), 303)


def _redo(context: Context, identity: Identity, job_id: int, fields: dict[str, str], seen: Seen) -> None:
    body = parse(RedoChoices, fields)
    actions.redo(
        context.engine,
        context.settings,
        job_id,
        list(seen),
        identity.actor,
        changes=body.options(),
        note=body.note,
        seen=seen,
    )


def _choose(
    context: Context, identity: Identity, job_id: int, chosen: str, seen: Seen, *, note: str | None = None
) -> None:
    actions.choose(
        context.engine,
        job_id,
        list(seen),
        chosen,
        identity.actor,
        chunk_scans=context.settings.chunk_scans,
        note=note,
        seen=seen,
    )
