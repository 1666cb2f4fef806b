"""Schedules: listed, added, edited, enabled, run, with their history."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from db.models.schedules import Schedule
from db.queries import schedules
from db.queries.pages.jobs import within
from db.session import read_scope
from scheduler.actions import schedules as actions
from scheduler.web.api.schedules import visible_schedule
from scheduler.web.api.schemas import ScheduleBody
from scheduler.web.auth.prefixes import expect_within
from scheduler.web.context import Context, Operator, TheContext, Viewer
from scheduler.web.forms import DEFAULTS, Fields, choices, parse
from scheduler.web.parameters import Words
from scheduler.web.rendering import render
from worker.errors import PhotochromError

router = APIRouter()
HISTORY_ROWS = 30
Name = Annotated[Words, Query(min_length=1, max_length=200)]
FIRST = {"cron": "0 1 * * *", "timezone": "UTC", "name": ""}


@router.get("/schedules")
def list_schedules(request: Request, context: TheContext, identity: Viewer) -> Response:
    with read_scope(context.engine) as session:
        rows, latest = schedules.listed(session, within(identity.prefixes, Schedule)), schedules.latest(session)
    destinations = [schedule.destination for schedule in rows]
    twice = {place for place in destinations if destinations.count(place) > 1}
    return render(request, "schedules.html", {"schedules": rows, "latest": latest, "twice": sorted(twice)})


@router.get("/schedules/new")
def show_new(request: Request, context: TheContext, _: Operator) -> Response:
    return _page(request, context, {**DEFAULTS, **FIRST}, schedule=None)


@router.post("/schedules/new")
def add(request: Request, context: TheContext, identity: Operator, fields: Fields) -> Response:
    name = fields.get("schedule", "").strip()
    return _keep(request, context, identity, fields, name, None)


@router.get("/schedules/one")
def show(request: Request, context: TheContext, identity: Viewer, name: Name) -> Response:
    schedule = visible_schedule(context, identity, name)
    lists = {key: "\n".join(schedule.options.get(key) or ()) for key in ("include", "exclude")}
    kept = {key: _text(value) for key, value in schedule.options.items() if key in DEFAULTS}
    places = {"source": schedule.source, "destination": schedule.destination}
    when = {"cron": schedule.cron, "timezone": schedule.timezone}
    return _page(request, context, {**DEFAULTS, **kept, **lists, **places, **when}, schedule=schedule)


@router.post("/schedules/one")
def edit(request: Request, context: TheContext, identity: Operator, name: Name, fields: Fields) -> Response:
    schedule = visible_schedule(context, identity, name)
    return _keep(request, context, identity, fields, name, schedule)


@router.post("/schedules/control")
def control(
    context: TheContext,
    identity: Operator,
    name: Name,
    action: Annotated[Literal["enable", "disable", "run", "remove"], Form()],
) -> Response:
    visible_schedule(context, identity, name)
    if action == "run":
        actions.run_soon(context.engine, name, identity.actor)
    elif action == "enable":
        actions.enable(context.engine, name, identity.actor)
    elif action == "disable":
        actions.disable(context.engine, name, identity.actor)
    else:
        actions.remove(context.engine, name, identity.actor)
    return RedirectResponse("/schedules", 303)


def _keep(
    request: Request,
    context: Context,
    identity: Operator,
    fields: dict[str, str],
    name: str,
    schedule: Schedule | None,
) -> Response:
    try:
        body = parse(ScheduleBody, fields)
        expect_within(identity, body.source, body.destination, body.manifest)
        keep = actions.add if schedule is None else actions.edit
        keep(
            context.engine,
            context.settings,
            name,
            body.submission(),
            cron=body.cron,
            timezone=body.timezone,
            actor=identity.actor,
        )
    except PhotochromError as error:
        return _page(request, context, fields, schedule=schedule, problem=error.message, status=422)
    return RedirectResponse("/schedules", 303)


def _page(
    request: Request,
    context: Context,
    fields: dict[str, Any],
    *,
    schedule: Schedule | None,
    problem: str = "",
    status: int = 200,
) -> Response:
    history: list[Any] = []
    if schedule is not None:
        with read_scope(context.engine) as session:
            history = schedules.history(session, schedule.id, limit=HISTORY_ROWS)
    values = {
        "fields": {**DEFAULTS, **FIRST, "schedule": "", **fields},
        "schedule": schedule,
        "history": history,
        "problem": problem,
    }
    return render(request, "schedule.html", {**values, **choices(context)}, status=status)


def _text(value: Any) -> str:
    return "" if value in (None, False) else str(value)
