"""New jobs and schedules, by forms that say what is wrong."""

from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, update

from db.clock import database_now
from db.models.jobs import Job
from db.queries import schedules
from db.queries.jobs import lifecycle, submissions
from db.session import read_scope, session_scope
from scheduler.daemon.background_listings import AT_ONCE, TRIES, BackgroundListings
from tests.at_once import AtOnce, Later
from tests.integration.web.conftest import Web, form, write_picture
from worker.errors import ServiceUnavailable


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


def test_a_look_says_the_formats_and_all_that_is_left_out(web: Web, engine: Engine) -> None:
    fields = places(web)
    source = web.source.parent / "more"
    for key in ("2.jpg", "3.png", "4.tif", "._4.tif", "notes.txt"):
        (source / key).write_bytes(b"not looked at")
    browser = web.browser()
    browser.post("/jobs/new", data=form(**fields, action="submit", include="1.jpg"))
    listings(web, engine).round()

    look = browser.post("/jobs/new", data=form(**fields, action="look", exclude="2.jpg"))
    counts = browser.post("/api/v1/jobs?dry_run=true", json={**fields, "exclude": ["2.jpg"]}).json()

    assert "<h2>2 scans," in look.text
    assert "By format: 1 PNG, 1 TIFF." in look.text
    assert "Left out because another job will make them: 1 scan." in look.text
    assert "Left out by the patterns: 1 scan." in look.text
    assert "Left out because they are not scans: 1 file." in look.text
    assert "Left out because other programs left them beside the scans: 1 file." in look.text
    assert (counts["scans"], counts["formats"], counts["underway"]) == (2, {"png": 1, "tiff": 1}, 1)


def test_the_form_takes_a_label_a_folder_and_accepted_outputs(web: Web, engine: Engine) -> None:
    fields = {**places(web), "label": "a model's colours", "output_prefix": "box2", "overwrite_accepted": "true"}
    web.browser().post("/jobs/new", data=form(**fields, action="submit"))
    schedule = {"schedule": "nightly", "cron": "@daily", **fields}
    web.browser().post("/schedules/new", data=form(**schedule))
    page = web.browser().get("/schedules/one?name=nightly").text

    with read_scope(engine) as session:
        job = lifecycle.get(session, 2)
        options, request = job.options, job.request or {}
    assert (options["label"], options["output_prefix"], request["overwrite_accepted"]) == (
        "a model's colours",
        "box2",
        True,
    )
    assert 'value="a model&#39;s colours"' in page
    assert 'name="overwrite_accepted" value="true" checked' in page


def test_looking_at_a_source_that_takes_too_long_ends_with_what_to_do(
    web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.web.pages.submit.LOOK_SECONDS", 0.0)
    fields = places(web)

    look = web.browser().post("/jobs/new", data=form(**fields, action="look"))
    made = web.browser().post("/jobs/new", data=form(**fields, action="submit"))

    assert look.status_code == 422
    assert "too large to be counted here: 1 scan in 0 seconds" in look.text
    assert made.url.path == "/jobs/2"  # a scheduler lists it, which has no limit


def listings(web: Web, engine: Engine) -> BackgroundListings:
    """The background listings of a scheduler."""
    return BackgroundListings(engine, web.context.settings, AtOnce())


def test_a_submission_returns_before_its_source_is_listed_and_a_scheduler_lists_it(web: Web, engine: Engine) -> None:
    browser, fields = web.browser(), places(web)
    page = browser.post("/jobs/new", data=form(**fields, action="submit", sample="1", include="*.jpg"))
    twice = browser.post("/jobs/new", data=form(**fields, action="submit", sample="1", include="*.jpg"))
    submitting = browser.get("/api/v1/jobs/2").json()
    for _ in range(2):
        listings(web, engine).round()

    assert "The source is being listed: 0 scans so far" in page.text
    assert twice.url.path == "/jobs/2"
    assert (submitting["state"], submitting["scans"]) == ("submitting", 0)
    listed = browser.get("/api/v1/jobs/2").json()
    assert (listed["state"], listed["scans"]) == ("sampled", 1)
    assert "listed" in browser.get("/jobs/2/details").text


def test_a_job_whose_source_cannot_be_listed_is_cancelled_and_says_why(web: Web, engine: Engine) -> None:
    (web.source.parent / "empty").mkdir()
    fields = {"source": str(web.source.parent / "empty"), "destination": str(web.source.parent / "nowhere")}
    browser = web.browser()
    browser.post("/jobs/new", data=form(**fields, action="submit"))
    listings(web, engine).round()

    assert browser.get("/api/v1/jobs/2").json()["state"] == "cancelled"
    assert "holds nothing; expected files that end in" in browser.get("/jobs/2").text


def test_a_job_that_is_cancelled_meanwhile_stays_so(web: Web, engine: Engine) -> None:
    browser = web.browser()
    browser.post("/jobs/new", data=form(**places(web), action="submit"))
    with session_scope(engine) as session:
        [listing] = submissions.take_waiting(session, 9, now=database_now(session), lease_seconds=60)
    browser.post("/jobs/2/control", data=form(action="cancel"))
    listings(web, engine)._list(listing, ExitStack())
    listings(web, engine).round()

    job = browser.get("/api/v1/jobs/2").json()
    assert (job["state"], job["scans"]) == ("cancelled", 0)
    assert "could not be listed completely" not in browser.get("/jobs/2").text


def test_a_listing_whose_scheduler_was_killed_is_taken_over_and_the_late_one_writes_nothing(
    web: Web, engine: Engine
) -> None:
    browser = web.browser()
    browser.post("/jobs/new", data=form(**places(web), action="submit"))
    with session_scope(engine) as session:
        [killed] = submissions.take_waiting(session, 9, now=database_now(session), lease_seconds=60)
    listings(web, engine).round()
    assert browser.get("/api/v1/jobs/2").json()["state"] == "submitting"  # the first scheduler still holds the listing
    with session_scope(engine) as session:
        submissions.hold(session, killed.attempt, until=database_now(session))
    listings(web, engine).round()
    listings(web, engine)._list(killed, ExitStack())  # the first scheduler was only slow

    job = browser.get("/api/v1/jobs/2").json()
    assert (job["state"], job["scans"]) == ("running", 1)


def test_a_store_that_is_away_is_tried_again_and_the_page_says_why(
    web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ServiceUnavailable("the store is away")

    browser = web.browser()
    browser.post("/jobs/new", data=form(**places(web), action="submit"))
    with monkeypatch.context() as patched:
        patched.setattr("scheduler.submission.submitter.open_both", away)
        listings(web, engine).round()
    waits = browser.get("/jobs/2").text
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == 2).values(listing_lease_expires_at=database_now(session)))
    listings(web, engine).round()

    assert "The last try failed: the store is away. It will be tried again." in waits
    assert browser.get("/api/v1/jobs/2").json()["state"] == "running"


def test_a_listing_that_kills_each_scheduler_is_given_up(web: Web, engine: Engine) -> None:
    browser = web.browser()
    browser.post("/jobs/new", data=form(**places(web), action="submit"))
    for _ in range(TRIES):
        with session_scope(engine) as session:
            [killed] = submissions.take_waiting(session, 9, now=database_now(session), lease_seconds=60)
            submissions.hold(session, killed.attempt, until=database_now(session))
    listings(web, engine).round()

    assert browser.get("/api/v1/jobs/2").json()["state"] == "cancelled"
    assert "given up after 12 tries" in browser.get("/jobs/2").text


def test_a_stopping_scheduler_hands_its_listings_back(web: Web, engine: Engine) -> None:
    browser = web.browser()
    browser.post("/jobs/new", data=form(**places(web), action="submit"))
    stopping = listings(web, engine)
    stopping.stop()
    stopping.round()
    listings(web, engine).round()

    assert browser.get("/api/v1/jobs/2").json()["state"] == "running"


def test_a_scheduler_leaves_the_listings_that_it_can_not_do_at_once_to_others(web: Web, engine: Engine) -> None:
    browser = web.browser()
    for number in range(AT_ONCE + 1):
        destination = str(web.source.parent / f"colour {number}")
        browser.post("/jobs/new", data=form(source=str(web.source), destination=destination, action="submit"))
    busy = Later()
    of_the_first = BackgroundListings(engine, web.context.settings, busy)
    for _ in range(2):
        of_the_first.round()

    assert len(busy.submitted) == AT_ONCE
    listings(web, engine).round()
    assert browser.get(f"/api/v1/jobs/{AT_ONCE + 2}").json()["state"] == "running"
    busy.run()
    assert browser.get(f"/api/v1/jobs/{AT_ONCE + 1}").json()["state"] == "running"


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
        taken = schedules.take_over(session, 9, now=database_now(session), lease_seconds=60)
    assert [listing.schedule.name for listing in taken] == ["plates"]
