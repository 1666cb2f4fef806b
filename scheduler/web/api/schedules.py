"""Schedules, which submit new and changed scans at set times."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from db.models.schedules import Schedule
from db.queries import schedules
from db.queries.pages.jobs import within
from db.session import read_scope
from scheduler.actions import schedules as actions
from scheduler.rows import firing_row, schedule_row, schedule_rows
from scheduler.web.api.schemas import FiringOut, ScheduleBody, ScheduleOut
from scheduler.web.auth.identity import Identity
from scheduler.web.auth.prefixes import expect_within
from scheduler.web.context import Context, Operator, TheContext, Viewer
from scheduler.web.parameters import Words
from worker.errors import NotFound

router = APIRouter(tags=["schedules"])
Name = Annotated[Words, Path(min_length=1, max_length=200)]


def visible_schedule(context: Context, identity: Identity, name: str) -> Schedule:
    """The schedule of this name. Raises NotFound if it does not exist or this person may not see it."""
    with read_scope(context.engine) as session:
        schedule = schedules.visible(session, within(identity.prefixes, Schedule), name)
    if schedule is None:
        raise NotFound(f"there is no schedule {name!r}; see the list of schedules")
    return schedule


@router.get("/schedules", response_model=list[ScheduleOut])  # type: ignore[valid-type]  # made at run time
def list_schedules(context: TheContext, identity: Viewer) -> Any:
    with read_scope(context.engine) as session:
        rows = schedules.listed(session, within(identity.prefixes, Schedule))
    return schedule_rows(rows)


@router.post("/schedules/{name}", status_code=201, response_model=ScheduleOut)
def add(context: TheContext, identity: Operator, name: Name, body: ScheduleBody) -> Any:
    """Submit what is new and changed, at set times."""
    expect_within(identity, body.source, body.destination, body.manifest)
    return schedule_row(
        *actions.add(context.engine, context.settings, name, body.submission(), **_when(identity, body))
    )


@router.put("/schedules/{name}", response_model=ScheduleOut)
def edit(context: TheContext, identity: Operator, name: Name, body: ScheduleBody) -> Any:
    """Change what the schedule submits and when, from its next time on."""
    visible_schedule(context, identity, name)
    expect_within(identity, body.source, body.destination, body.manifest)
    return schedule_row(
        *actions.edit(context.engine, context.settings, name, body.submission(), **_when(identity, body))
    )


@router.get("/schedules/{name}", response_model=ScheduleOut)
def show(context: TheContext, identity: Viewer, name: Name) -> Any:
    return schedule_row(visible_schedule(context, identity, name))


@router.delete("/schedules/{name}", status_code=204)
def remove(context: TheContext, identity: Operator, name: Name) -> Response:
    """Remove the schedule with its history. The jobs that it made stay."""
    visible_schedule(context, identity, name)
    actions.remove(context.engine, name, identity.actor)
    return Response(status_code=204)


@router.post("/schedules/{name}/enable", response_model=ScheduleOut)
def enable(context: TheContext, identity: Operator, name: Name) -> Any:
    visible_schedule(context, identity, name)
    return schedule_row(actions.enable(context.engine, name, identity.actor))


@router.post("/schedules/{name}/disable", response_model=ScheduleOut)
def disable(context: TheContext, identity: Operator, name: Name) -> Any:
    """Start no new jobs until the schedule is enabled again. A running job continues."""
    visible_schedule(context, identity, name)
    actions.disable(context.engine, name, identity.actor)
    return schedule_row(visible_schedule(context, identity, name))


@router.post("/schedules/{name}/run", status_code=202)
def run(context: TheContext, identity: Operator, name: Name) -> Response:
    """Run the schedule now. A scheduler submits it in its next round."""
    visible_schedule(context, identity, name)
    actions.run_soon(context.engine, name, identity.actor)
    return Response(status_code=202)


@router.get("/schedules/{name}/history", response_model=list[FiringOut])  # type: ignore[valid-type]  # made at run time
def history(
    context: TheContext, identity: Viewer, name: Name, limit: Annotated[int, Query(ge=1, le=1_000)] = 30
) -> Any:
    """Its runs, the latest first: the job that each one made, or why it made none."""
    schedule = visible_schedule(context, identity, name)
    with read_scope(context.engine) as session:
        firings = schedules.history(session, schedule.id, limit=limit)
    return [firing_row(firing, job) for firing, job in firings]


def _when(identity: Identity, body: ScheduleBody) -> dict[str, Any]:
    return {"cron": body.cron, "timezone": body.timezone, "actor": identity.actor}
