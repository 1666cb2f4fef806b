"""A reviewer goes through pictures; two of them do not overwrite each other; what is done can be undone."""

import pytest
from sqlalchemy import Engine

from db.models.jobs import Scan
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.scans import records
from db.session import read_scope
from scheduler.actions import reviews as actions
from scheduler.actions.actor import Actor
from tests.integration.web.conftest import Web, form
from worker.errors import Conflict, NotFound

ADA, GRACE = Actor("ada"), Actor("grace")
DOUBTFUL = "?doubtful=True&order=doubtful"


def scan_of(engine: Engine, scan_id: int) -> Scan:
    with read_scope(engine) as session:
        return session.get_one(Scan, scan_id)


def test_the_review_begins_with_the_most_doubtful_and_leads_from_one_to_the_next(web: Web, engine: Engine) -> None:
    browser = web.browser()
    first = browser.get("/jobs/1/review")
    second = browser.post(str(first.url), data=form(action="accept", seen=0, note="fine sky"))
    third = browser.post(str(second.url), data=form(action="reject", seen=0))

    assert [page.url.path for page in (first, second, third)] == [f"/jobs/1/review/{scan}" for scan in (1, 2, 3)]
    assert (scan_of(engine, 1).verdict, scan_of(engine, 2).verdict) == ("accepted", "rejected")
    with read_scope(engine) as session:
        assert reviews.latest(session, [1])[1].note == "fine sky"


def test_a_review_ends_with_what_was_said(web: Web) -> None:
    browser = web.browser()
    page = browser.get("/jobs/1/review")
    for _ in range(5):
        page = browser.post(str(page.url), data=form(action="accept", seen=0))

    assert "All is reviewed" in page.text
    assert "5 accepted" in page.text


def test_undo_leads_back_and_what_was_doubtful_is_so_again(web: Web, engine: Engine) -> None:
    browser = web.browser()
    weight = scan_of(engine, 1).review_weight
    browser.post(f"/jobs/1/review/1{DOUBTFUL}", data=form(action="reject", seen=0))

    page = browser.post(f"/jobs/1/undo{DOUBTFUL}", data=form())

    assert page.url.path == "/jobs/1/review/1"
    assert (scan_of(engine, 1).verdict, scan_of(engine, 1).review_weight) == (None, weight)


def test_undo_brings_the_verdict_before_back(web: Web, engine: Engine) -> None:
    actions.decide(engine, 1, [1], "accept", GRACE)
    actions.decide(engine, 1, [1], "reject", ADA)

    actions.undo(engine, 1, ADA)

    assert scan_of(engine, 1).verdict == "accepted"
    with pytest.raises(Conflict, match="no verdict of yours"):
        actions.undo(engine, 1, ADA)


def test_of_two_reviewers_the_second_is_told_and_overwrites_nothing(web: Web, engine: Engine) -> None:
    actions.decide(engine, 1, [1], "accept", ADA)

    page = web.browser().post("/jobs/1/review/1", data=form(action="reject", seen=0))

    assert page.status_code == 409
    assert "ada accepted it" in page.text.lower()
    assert "was not recorded" in page.text
    assert scan_of(engine, 1).verdict == "accepted"


def test_many_are_decided_at_once_or_none(web: Web, engine: Engine) -> None:
    browser = web.browser()

    refused = browser.post("/jobs/1/verdicts", data=form(action="accept", scan=[1, 6]))
    browser.post("/jobs/1/verdicts", data=form(action="accept", scan=[2, 3]))

    assert refused.status_code == 404
    assert [scan_of(engine, number).verdict for number in (1, 2, 3)] == [None, "accepted", "accepted"]


def test_a_redo_keeps_the_earlier_output_until_somebody_has_chosen(web: Web, engine: Engine) -> None:
    web.browser().post("/jobs/1/scans/1/redo", data=form(seen=0, checkpoint="vivid"))

    with read_scope(engine) as session:
        job, redo = lifecycle.get(session, 1), lifecycle.get(session, 2)
        [scan] = records.of_job(session, 2)
    assert redo.destination == f"{job.destination}/photochrom-redone/2"
    assert (redo.options["checkpoint"], scan.output_key) == ("vivid", "box/0.jpg")
    page = web.browser().get("/jobs/1/review/1").text
    assert "Made anew" in page


def test_choosing_the_earlier_accepts_it_and_choosing_the_new_waits_for_it(web: Web, engine: Engine) -> None:
    actions.redo(engine, 1, [1], ADA, options={}, chunk_scans=64)

    with pytest.raises(Conflict, match="choose it when it is done"):
        actions.choose(engine, 1, [1], "new", ADA, chunk_scans=64)
    actions.choose(engine, 1, [1], "earlier", ADA, chunk_scans=64)

    assert scan_of(engine, 1).verdict == "accepted"


def test_only_outputs_of_the_job_are_reviewed(web: Web, engine: Engine) -> None:
    with pytest.raises(NotFound, match="job 1 has no output for scan 6"):
        actions.decide(engine, 1, [6], "accept", ADA)
