"""Many pictures at once, in the grid and over the API: nobody overwrites a verdict that they did not see."""

import re

from sqlalchemy import Engine, update

from db.models.jobs import Scan
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import reviews as actions
from scheduler.actions import users
from tests.integration.web.conftest import Web, form
from tests.rows import NOON

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


def redo_of_both(web: Web, engine: Engine, **options: object) -> None:
    """Ask in the grid for a redo of the scans 1 and 2, and let job 2 make them."""
    seen = shown(web.browser().get("/jobs/1").text)
    web.browser().post("/jobs/1/verdicts", data=form(action="redo", scan=[1, 2], seen=seen, **options))
    make(engine, 2)


def make(engine: Engine, job_id: int) -> None:
    """Record that a worker has made the outputs of this job."""
    with session_scope(engine) as session:
        made = {"state": "done", "finished_at": NOON, "output_sha256": "f" * 64}
        session.execute(update(Scan).where(Scan.job_id == job_id).values(**made))


def test_a_program_asks_for_a_redo_and_ends_it(web: Web, engine: Engine) -> None:
    client = web.browser()
    redo = {"json": {"scans": [1, 2], "saturation": 1.2}, "headers": {"Idempotency-Key": "redo-1"}}
    redone = [client.post("/api/v1/jobs/1/redo", **redo).json() for _ in range(2)]
    early = client.post("/api/v1/jobs/1/choose", json={"scans": [1], "choice": "take"})
    make(engine, 2)

    take = {"json": {"scans": [1], "choice": "take"}, "headers": {"Idempotency-Key": "take-1"}}
    taken = [client.post("/api/v1/jobs/1/choose", **take) for _ in range(2)]
    kept = client.post("/api/v1/jobs/1/choose", json={"scans": [2], "choice": "keep"})
    late = client.post("/api/v1/jobs/1/choose", json={"scans": [2], "choice": "take"})

    assert redone == [{"job": 2}, {"job": 2}]
    assert "choose when it is done" in early.json()["detail"]
    assert [(answer.status_code, answer.json()) for answer in taken] == [(200, {"scans": 1, "jobs": [3]})] * 2
    assert (kept.json(), verdict_of(engine, 2)) == ({"scans": 1, "jobs": []}, "accepted")
    assert (early.status_code, late.status_code) == (409, 409)


def test_a_viewer_chooses_nothing(web: Web, engine: Engine) -> None:
    users.add(engine, "vera", ADA, role="viewer", password=None)
    _, token = users.new_token(engine, "vera", ADA, label="a program")

    refused = web.browser(authorization=f"Bearer {token}").post(
        "/api/v1/jobs/1/choose", json={"scans": [1], "choice": "keep"}
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_many_are_made_again_with_the_same_options(web: Web, engine: Engine) -> None:
    redo_of_both(web, engine, head="vivid", saturation="1.3", note="paler skies")

    with read_scope(engine) as session:
        options = lifecycle.get(session, 2).options
        keys = [scan.source_key for scan in records.of_job(session, 2)]
        notes = [review.note for review in reviews.latest(session, [1, 2]).values()]
    assert (options["head"], options["saturation"], keys) == ("vivid", 1.3, ["box/0.jpg", "box/1.jpg"])
    assert notes == ["paler skies", "paler skies"]


def test_the_earlier_or_the_new_outputs_of_many_are_kept_in_the_grid(web: Web, engine: Engine) -> None:
    browser = web.browser()
    redo_of_both(web, engine)
    page = browser.get("/jobs/1").text
    browser.post("/jobs/1/verdicts", data=form(action="keep", scan=[1], seen=shown(page)))
    refused = browser.post("/jobs/1/verdicts", data=form(action="take", scan=[1, 2], seen=shown(page)))
    browser.post("/jobs/1/verdicts", data=form(action="take", scan=[2], seen=shown(page)))

    assert re.findall(r'value="(\d)" data-two', page) == ["1", "2"]
    assert refused.status_code == 409
    assert (verdict_of(engine, 1), verdict_of(engine, 2)) == ("accepted", "redone")
    with read_scope(engine) as session:
        assert [scan.source_key for scan in records.of_job(session, 3)] == ["box/1.jpg"]
    assert "data-two" not in browser.get("/jobs/1").text
