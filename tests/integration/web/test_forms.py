"""New jobs and schedules, by forms that say what is wrong."""

from sqlalchemy import Engine

from db.clock import database_now
from db.queries import schedules
from db.queries.jobs import lifecycle
from db.session import read_scope, session_scope
from tests.integration.web.conftest import Web, form, write_picture


def places(web: Web) -> dict[str, object]:
    write_picture(web.source.parent / "more" / "1.jpg", 1, bands=1)
    return {"source": str(web.source.parent / "more"), "destination": str(web.source.parent / "more colour")}


def test_a_new_job_is_looked_at_first_and_then_submitted(web: Web, engine: Engine) -> None:
    browser, fields = web.browser(), places(web)
    look = browser.post("/jobs/new", data=form(**fields, action="look"))
    made = browser.post(
        "/jobs/new", data=form(**fields, action="submit", format="tiff", head="vivid", saturation="1.3")
    )

    assert "1 scan," in look.text
    assert made.url.path == "/jobs/2"
    with read_scope(engine) as session:
        options = lifecycle.get(session, 2).options
    assert (options["format"], options["head"], options["saturation"]) == ("tiff", "vivid", 1.3)


def test_a_form_says_what_is_wrong_and_keeps_what_was_typed(web: Web) -> None:
    fields = {"source": str(web.source), "destination": str(web.source), "quality": "300", "name": "my <box>"}

    answer = web.browser().post("/jobs/new", data=form(**fields, action="look"))

    assert answer.status_code == 422
    assert "quality: expected less than or equal to 100" in answer.text
    assert "my &lt;box&gt;" in answer.text


def test_a_schedule_is_added_edited_and_run_by_its_page(web: Web, engine: Engine) -> None:
    browser, fields = web.browser(), places(web)
    browser.post("/schedules/new", data=form(**fields, schedule="plates", cron="@daily", timezone="Europe/Rome"))
    browser.post("/schedules/one?name=plates", data=form(**fields, cron="30 2 * * *", timezone="UTC", format="tiff"))
    browser.post("/schedules/control?name=plates", data=form(action="run"))
    browser.post("/schedules/control?name=plates", data=form(action="disable"))

    with read_scope(engine) as session:
        schedule = schedules.named(session, "plates")
        [(firing, _)] = schedules.history(session, schedule.id, limit=9)
    assert (schedule.cron, schedule.options["format"], schedule.enabled) == ("30 2 * * *", "tiff", False)
    assert firing.state == "listing"
    page = browser.get("/schedules").text
    assert "disabled" in page
    assert "30 2 * * *" in browser.get("/schedules/one?name=plates").text


def test_two_schedules_into_one_destination_are_warned_of(web: Web) -> None:
    browser, fields = web.browser(), places(web)
    for name in ("one", "two"):
        browser.post("/schedules/new", data=form(**fields, schedule=name, cron="@daily", timezone="UTC"))

    assert "Several schedules write into" in browser.get("/schedules").text


def test_a_schedule_that_is_run_by_its_page_is_listed_by_the_next_scheduler(web: Web, engine: Engine) -> None:
    browser = web.browser()
    browser.post("/schedules/new", data=form(**places(web), schedule="plates", cron="@daily", timezone="UTC"))
    browser.post("/schedules/control?name=plates", data=form(action="run"))

    with session_scope(engine) as session:
        taken = schedules.take_over(session, now=database_now(session), lease_seconds=60)
    assert [listing.schedule.name for listing in taken] == ["plates"]
