"""A reviewer goes through pictures. Two reviewers do not overwrite each other's verdicts. Verdicts can be undone."""

import html
import re

import pytest
from sqlalchemy import Engine, select, update

from db.models.jobs import Chunk, Job, Scan
from db.models.reviews import Review
from db.queries.jobs import lifecycle
from db.queries.reports import reviews
from db.queries.scans import records
from db.session import read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import reviews as actions
from tests.integration.web.conftest import Web, form
from tests.rows import NOON, run_worker
from worker.errors import Conflict, NotFound
from worker.settings.settings import Settings

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

    assert "All outputs are reviewed" in page.text
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
    with pytest.raises(Conflict, match="you have given no verdict"):
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


@pytest.mark.parametrize("action", ["redo", "accept", "take"])
def test_a_conflict_in_the_grid_keeps_what_was_chosen_and_typed(web: Web, engine: Engine, action: str) -> None:
    actions.decide(engine, 1, [2], "accept", ADA)
    browser, address = web.browser(), "/jobs/1?state=done&order=pale"
    chosen = {"scan": [1, 2], "seen": ["1:0", "2:0"], "note": "too pale", "head": "vivid", "saturation": "1.25"}

    refused = browser.post("/jobs/1/verdicts", data=form(action=action, next=address, **chosen))

    assert refused.status_code == 409
    assert re.findall(r'name="scan" value="(\d+)" checked', refused.text) == ["1", "2"]
    assert 'value="too pale"' in refused.text
    assert '<option value="vivid" selected>' in refused.text
    assert 'value="1.25"' in refused.text
    assert "Nothing was recorded: ada accepted" in refused.text
    assert f'name="next" value="{html.escape(address)}"' in refused.text
    assert len(browser.get("/api/v1/jobs").json()["jobs"]) == 1

    seen = re.findall(r'name="seen" value="([0-9:]+)"', refused.text)
    again = browser.post("/jobs/1/verdicts", data=form(action="reject", next=address, **{**chosen, "seen": seen}))

    assert (again.status_code, scan_of(engine, 1).verdict, scan_of(engine, 2).verdict) == (200, "rejected", "rejected")


def test_a_redo_that_can_t_be_made_keeps_what_was_chosen(web: Web) -> None:
    redo = form(action="redo", scan=[3], embedding="dreamt", next="https://elsewhere.example/?state=nonsense")

    refused = web.browser().post("/jobs/1/verdicts", data=redo)

    assert refused.status_code == 422
    assert re.findall(r'name="scan" value="(\d+)" checked', refused.text) == ["3"]
    assert "neither a running worker nor this machine has it" in refused.text


def test_a_redo_keeps_the_earlier_output_until_somebody_has_chosen(web: Web, engine: Engine) -> None:
    run_worker(engine, "v", "vivid")
    web.browser().post("/jobs/1/scans/1/redo", data=form(seen=0, checkpoint="vivid"))

    with read_scope(engine) as session:
        job, redo = lifecycle.get(session, 1), lifecycle.get(session, 2)
        [scan] = records.of_job(session, 2)
    assert redo.destination == f"{job.destination}/photochrom-redone/2"
    assert (redo.options["checkpoint"], scan.output_key) == ("vivid", "box/0.jpg")
    page = web.browser().get("/jobs/1/review/1").text
    assert "Redo asked for</h2>" in page


def set_redo_state(engine: Engine, state: str, code: str | None = None) -> None:
    """Set the scan of job 2, which makes scan 1 of job 1 again, to this state."""
    ended = None if state == "pending" else NOON
    with session_scope(engine) as session:
        values = {"state": state, "finished_at": ended, "error_code": code, "output_sha256": "f" * 64}
        session.execute(update(Scan).where(Scan.job_id == 2).values(**values))
        count = {"done_count": int(state == "done"), "failed_count": int(state == "failed")}
        session.execute(update(Chunk).where(Chunk.job_id == 2).values(state="done", **count))
        session.execute(update(Job).where(Job.id == 2).values(state="completed", finished_at=NOON))


def test_an_output_counts_as_redone_only_when_the_new_one_exists(web: Web, engine: Engine) -> None:
    actions.redo(engine, Settings(), 1, [1], ADA, changes={})
    browser = web.browser()
    pages = ("/jobs/1", "/jobs/1/scans/1", "/jobs/1/review/1")

    for page in (browser.get(path).text for path in pages):
        assert ">redo asked for</span>" in page
        assert ">redone</span>" not in page
        assert 'will be made again by <a href="/jobs/2">job 2</a>, which is running' in page

    set_redo_state(engine, "done")
    for page in (browser.get(path).text for path in pages):
        assert ">redone</span>" in page
        assert "will be made again by" not in page
    assert '<a href="/jobs/1/review/1#choose">Both outputs are ready' in browser.get("/jobs/1/scans/1").text


def test_a_redo_whose_job_was_cancelled_is_shown_as_stopped(web: Web, engine: Engine) -> None:
    actions.redo(engine, Settings(), 1, [1], ADA, changes={})
    browser = web.browser()
    browser.post("/jobs/2/control", data=form(action="cancel"))

    page = browser.get("/jobs/1/scans/1").text

    assert 'It was to be made again by <a href="/jobs/2">job 2</a>, but that job is cancelled' in page
    assert ">redo stopped</span>" in page


def test_a_redo_that_failed_is_tried_again_from_the_first_job_by_an_operator(web: Web, engine: Engine) -> None:
    actions.redo(engine, Settings(), 1, [1], ADA, changes={})
    set_redo_state(engine, "failed", "storage_unavailable")
    browser = web.browser()

    for path in ("/jobs/1", "/jobs/1/scans/1"):
        page = browser.get(path).text
        assert 'could not be made again by <a href="/jobs/2">job 2</a>' in page
        assert 'Try again<span class="unseen"> job 2</span>' in page
        assert ">redo failed</span>" in page
    browser.post("/jobs/2/control", data=form(action="retry", next="/jobs/1"))

    assert "which is running" in browser.get("/jobs/1/scans/1").text


def test_the_queue_says_what_is_left_and_a_walk_where_it_is_and_that_it_ends(web: Web) -> None:
    browser = web.browser()
    assert "2 doubtful left, then 3 others" in browser.get("/jobs/1/review").text
    page = browser.get("/jobs/1/review/4?state=done")
    assert "Scan 4 of 5" in page.text
    page = browser.post("/jobs/1/review/4?state=done", data=form(action="accept", seen=0))
    assert "Scan 5 of 5" in page.text
    assert 'data-key="right" href="/jobs/1/review/end?state=done"' in page.text

    page = browser.post("/jobs/1/review/5?state=done", data=form(action="accept", seen=0))

    assert "End of this list" in page.text
    assert "2 doubtful left, then 1 other" in page.text


def test_after_the_doubtful_ones_skip_leads_to_the_others(web: Web) -> None:
    page = web.browser().get(f"/jobs/1/review/2{DOUBTFUL}").text

    assert 'href="/jobs/1/review?state=done&amp;verdict=none"' in page


def test_choosing_the_earlier_accepts_it_and_choosing_the_new_waits_for_it(web: Web, engine: Engine) -> None:
    actions.redo(engine, Settings(), 1, [1], ADA, changes={})

    with pytest.raises(Conflict, match="choose when it is done"):
        actions.choose(engine, 1, [1], "new", ADA, chunk_scans=64)
    actions.choose(engine, 1, [1], "earlier", ADA, chunk_scans=64)

    assert scan_of(engine, 1).verdict == "accepted"


@pytest.mark.parametrize("action", ["keep", "take"])
@pytest.mark.parametrize("over_api", [False, True])
def test_a_note_stays_with_a_choice_between_two_results(web: Web, engine: Engine, action: str, over_api: bool) -> None:
    actions.redo(engine, Settings(), 1, [1], ADA, changes={})
    set_redo_state(engine, "done")
    with read_scope(engine) as session:
        seen = session.scalars(select(Review.id)).one()

    if over_api:
        body = {"scans": [1], "choice": action, "note": "the sky", "seen": {"1": seen}}
        answer = web.browser().post("/api/v1/jobs/1/choose", json=body)
    else:
        fields = form(action=action, scan=1, seen=f"1:{seen}", note="the sky")
        answer = web.browser().post("/jobs/1/verdicts", data=fields, follow_redirects=False)

    assert answer.status_code in (200, 303)
    with read_scope(engine) as session:
        assert session.scalars(select(Review.note).order_by(Review.id.desc())).first() == "the sky"


def test_only_outputs_of_the_job_are_reviewed(web: Web, engine: Engine) -> None:
    with pytest.raises(NotFound, match="job 1 has no output for scan 6"):
        actions.decide(engine, 1, [6], "accept", ADA)
