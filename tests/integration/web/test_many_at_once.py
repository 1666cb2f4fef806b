"""Many pictures at once, in the grid and over the API: nobody overwrites a verdict that they did not see."""

import re

from sqlalchemy import Engine

from db.models.jobs import Scan
from db.session import read_scope
from scheduler.actions import reviews as actions
from scheduler.actions.actor import Actor
from tests.integration.web.conftest import Web, form

ADA = Actor("ada")


def verdict_of(engine: Engine, scan_id: int) -> str | None:
    with read_scope(engine) as session:
        return session.get_one(Scan, scan_id).verdict


def shown(page: str) -> list[str]:
    """What the grid says of the reviews that it shows."""
    return re.findall(r'name="seen" value="([0-9:]+)"', page)


def test_the_grid_overwrites_no_verdict_that_it_did_not_show(web: Web, engine: Engine) -> None:
    browser = web.browser()
    seen = shown(browser.get("/jobs/1").text)
    actions.decide(engine, 1, [2], "accept", ADA)

    refused = browser.post("/jobs/1/verdicts", data=form(action="reject", scan=[1, 2], seen=seen))

    assert seen == [f"{number}:0" for number in range(1, 6)]
    assert refused.status_code == 409
    assert "ada accepted box/1.jpg at" in refused.text
    assert (verdict_of(engine, 1), verdict_of(engine, 2)) == (None, "accepted")


def test_the_grid_changes_a_verdict_that_it_showed(web: Web, engine: Engine) -> None:
    browser = web.browser()
    actions.decide(engine, 1, [2], "accept", ADA)
    seen = shown(browser.get("/jobs/1").text)

    browser.post("/jobs/1/verdicts", data=form(action="reject", scan=[1, 2], seen=seen))

    assert (verdict_of(engine, 1), verdict_of(engine, 2)) == ("rejected", "rejected")


def test_a_redo_over_the_api_overwrites_no_verdict_that_was_not_seen(web: Web, engine: Engine) -> None:
    actions.decide(engine, 1, [1], "accept", ADA)
    client = web.browser()

    late = client.post("/api/v1/jobs/1/redo", json={"scans": [1], "seen": {"1": None}, "saturation": 1.2})

    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert "ada accepted it at" in late.json()["detail"]
    assert verdict_of(engine, 1) == "accepted"
    assert [job["job"] for job in client.get("/api/v1/jobs").json()["jobs"]] == [1]
    [review] = client.get("/api/v1/jobs/1/reviews").json()
    assert client.post("/api/v1/jobs/1/redo", json={"scans": [1], "seen": {"1": review["id"]}}).status_code == 201
