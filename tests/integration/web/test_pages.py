"""The pages show what the database says, and their forms change it."""

import pytest
from sqlalchemy import Engine, event, func, select, update

from db.models.jobs import Job, JobState, Scan
from db.queries.access import audit
from db.queries.jobs import lifecycle
from db.queries.jobs.lifecycle import NewScan
from db.queries.pages import scans as scan_pages
from db.queries.pages.scans import ScanFilter
from db.session import read_scope, session_scope
from tests.integration.web.conftest import Web, away, form
from tests.rows import NOON, make_job
from worker.errors import ServiceUnavailable

HOSTILE = [
    "<script>alert(1)</script>.tif",
    "box\n1/\r2.tif",
    "box/\u202egpj.tif",
    "../../etc/passwd.jpg",
    "%2e%2e/%2e%2e/x.jpg",
    "k" * 1020 + ".tif",
    '"><img src=x onerror=alert(1)>.png',
]


def test_the_front_page_lists_jobs_with_their_counts(web: Web) -> None:
    page = web.browser().get("/")

    assert page.url.path == "/jobs"
    assert "a box" in page.text
    assert "<b>6</b> of 6 scans" in page.text
    assert "1 failed" in page.text


def test_a_job_shows_its_scans_as_pictures(web: Web) -> None:
    page = web.browser().get("/jobs/1").text

    assert page.count('class="shot"') == 6
    assert "/jobs/1/scans/1/after/small.jpg" in page
    assert "/jobs/1/scans/6/before/small.jpg" in page  # the failed one has no output


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("state=failed", ["5.jpg"]),
        ("code=truncated", ["5.jpg"]),
        ("doubtful=true&order=doubtful", ["0.jpg", "1.jpg"]),
        ("order=colourful&state=done", ["4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg"]),
        ("order=pale", ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]),
        ("order=uncertain", ["4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg", "5.jpg"]),
        ("order=doubtful", ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]),
        ("key=x/2", ["2.jpg"]),
        ("key=%25", []),
        ("verdict=accepted", []),
    ],
)
def test_the_grid_is_filtered_and_sorted(web: Web, query: str, keys: list[str]) -> None:
    page = web.browser().get(f"/jobs/1?{query}").text

    assert [part.partition("</span>")[0] for part in page.split('<span class="name">')[2:]] == keys


def test_failures_say_what_to_do(web: Web) -> None:
    page = web.browser().get("/jobs/1/failures").text

    assert "Truncated" in page
    assert "What to do:" in page
    assert "Copy or scan it again." in page
    assert "box/5.jpg ends after 1.2 of 4.0 MB" in page


def test_a_scan_shows_its_row_and_what_other_jobs_did_with_it(web: Web, engine: Engine) -> None:
    page = web.browser().get("/jobs/1/scans/2").text

    assert "300 × 200, 8 bit" in page
    assert "<h2>History</h2>" in page
    assert "In colour: box/1.jpg" in page


def test_a_job_is_paused_and_resumed_by_its_buttons(web: Web, engine: Engine) -> None:
    job_id = make_job(engine, scan_count=3)
    browser = web.browser()

    browser.post(f"/jobs/{job_id}/control", data=form(action="pause"))

    with read_scope(engine) as session:
        assert lifecycle.get(session, job_id).state == JobState.PAUSED
        assert [entry.action for entry in audit.of_job(session, job_id, limit=9)] == ["pause"]
    assert "Resume" in browser.get("/jobs").text


def test_an_action_that_a_job_no_longer_allows_is_a_conflict_with_a_sentence(web: Web) -> None:
    answer = web.browser().post("/jobs/1/control", data=form(action="pause"))

    assert answer.status_code == 409
    assert "job 1 is completed" in answer.text


@pytest.mark.parametrize(
    "path",
    ["/jobs/99", "/jobs/99/failures", "/jobs/99/details", "/jobs/99/head", "/jobs/99/report", "/jobs/99/scans.csv",
     "/jobs/99/sample", "/jobs/99/review", "/jobs/1/scans/99", "/jobs/1/review/99", "/jobs/2/scans/1", "/nothing",
     "/jobs/1/report", "/jobs/1/scans/6/after/small.jpg", "/jobs/1/scans/6/after/file", "/schedules/nothing"],
)  # fmt: skip
def test_unknown_jobs_and_scans_are_answered_with_not_found(web: Web, path: str) -> None:
    answer = web.browser().get(path)

    assert answer.status_code == 404, answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/jobs/0", "/jobs/-1", "/jobs/9223372036854775808", "/jobs/x", "/jobs?before=-1", "/jobs?before=1e400",
     "/jobs/1?cursor=x", "/jobs/1?order=nothing", "/jobs/1?state=%00", "/jobs/1?key=%00", "/jobs?text=%00",
     "/jobs/1?cursor=WyIwIiwxLDBd", "/jobs/1?code=%27%3B", "/jobs/1/scans/1/before/tiles/99/0/0.jpg",
     "/jobs/1/scans/1/after/huge.jpg", "/jobs/1/scans/1/beside/small.jpg"],
)  # fmt: skip
def test_a_number_or_word_out_of_range_is_refused_without_a_traceback(web: Web, path: str) -> None:
    answer = web.browser().get(path)

    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("key", HOSTILE, ids=range(len(HOSTILE)))
def test_a_key_that_means_harm_is_only_text(web: Web, engine: Engine, key: str) -> None:
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session,
            name=key,
            source=str(web.source),
            destination=str(web.destination),
            options={},
            priority=0,
            now=NOON,
        )
        lifecycle.add_scans(session, job_id, [NewScan(key, None, 1, key)], chunk_scans=64)
    browser = web.browser()

    for path in ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/details", f"/jobs/{job_id}/scans/7"):
        page = browser.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "\u202e" not in page.text
    assert browser.get(f"/jobs/{job_id}/scans/7/before/small.jpg").status_code == 422


def test_pages_are_kept_from_running_what_is_not_theirs(web: Web) -> None:
    answer = web.browser().get("/jobs")

    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


def test_a_body_or_an_address_beyond_its_limit_is_refused_early(web: Web) -> None:
    browser = web.browser()

    assert browser.post("/jobs/1/control", content=b"x" * (5 << 20)).status_code == 413
    assert browser.get("/jobs?text=" + "x" * 9_000).status_code == 414


def test_every_scan_of_a_job_is_had_as_csv(web: Web) -> None:
    lines = web.browser().get("/jobs/1/scans.csv").text.splitlines()

    assert lines[0].startswith("id,job_id,")
    assert len(lines) == 7


def test_pages_of_scans_lead_on_and_back(engine: Engine, web: Web) -> None:
    job_id = make_job(engine, scan_count=150)
    browser = web.browser()
    sizes, query = [], ""
    for _ in range(3):
        page = browser.get(f"/jobs/{job_id}{query}").text
        sizes.append(page.count('class="shot"'))
        onward = page.partition('">More</a>')[0]
        query = onward.rpartition(f'href="/jobs/{job_id}')[2].replace("&amp;", "&")
    back = page.partition('">Previous</a>')[0].rpartition('href="')[2].replace("&amp;", "&")

    assert sizes == [60, 60, 30]
    assert browser.get(back).text.count('class="shot"') == 60


def test_a_database_that_is_away_is_said_so_and_comes_back(web: Web, engine: Engine) -> None:
    browser = web.browser()

    with away(engine):
        page, answer = browser.get("/jobs"), browser.get("/api/v1/jobs")
        posted = browser.post("/jobs/1/control", data=form(action="pause"))

    assert [each.status_code for each in (page, answer, posted)] == [503, 503, 503]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unavailable"
    assert answer.json()["detail"] == "The job database can't be reached; try again in a few seconds."
    assert str(engine.url.database) not in page.text
    assert ["data-load-again" in each.text for each in (page, posted)] == [True, False]  # no form is sent twice
    assert "Traceback" not in page.text
    assert browser.get("/jobs").status_code == 200


@pytest.mark.parametrize("path", ["/jobs/1/scans/1/after/file", "/jobs/1/report", "/jobs/1/scans.csv"])
def test_a_file_is_never_requested_again_by_the_page_that_says_why_it_is_missing(
    web: Web, engine: Engine, path: str
) -> None:
    browser = web.browser()

    with away(engine):
        answer = browser.get(path)

    assert (answer.status_code, "data-load-again" in answer.text) == (503, False)


def test_a_page_is_not_requested_again_while_too_many_files_are_downloaded(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.context.downloads, "fetch", full)

    answer = web.browser().get("/jobs/1/scans/1/after/file")

    assert (answer.status_code, "data-load-again" in answer.text) == (503, False)


def full(*_: object, **__: object) -> None:
    raise ServiceUnavailable("too many files are being downloaded; try again in a minute")


def test_scans_unlike_their_folder_are_a_filter_of_small_jobs(web: Web, engine: Engine) -> None:
    with session_scope(engine) as session:
        job_id = lifecycle.create(
            session, name="faces", source="s3://a/b", destination="s3://c/d", options={}, priority=0, now=NOON
        )
        listed = [NewScan(f"box/{number:02}.jpg", None, None, f"{number:02}.jpg") for number in range(12)]
        lifecycle.add_scans(session, job_id, listed, chunk_scans=64)
        done = update(Scan).where(Scan.job_id == job_id)
        session.execute(done.values(state="done", output_sha256="f", colourfulness=20.0 + Scan.id % 3))
        session.execute(done.values(mean_a=6.0 + Scan.id % 2, mean_b=14.0))
        session.execute(done.where(Scan.source_key == "box/07.jpg").values(colourfulness=90.0))
        session.execute(done.where(Scan.source_key == "box/03.jpg").values(mean_a=-9.0))
    client = web.browser()

    unlike = client.get(f"/api/v1/jobs/{job_id}/scans?unlike=true").json()["scans"]
    assert [scan["source_key"] for scan in unlike] == ["box/03.jpg", "box/07.jpg"]
    pages = [client.get(f"/jobs/{job_id}/scans/{scan['id']}").text for scan in unlike]
    assert "has other colours than the others in its folder" in pages[0]
    assert "is much more colourful than the others in its folder" in pages[1]
    page = client.get(f"/jobs/{job_id}?unlike=true").text
    assert ("07.jpg" in page, "06.jpg" in page, 'name="unlike" value="true" checked' in page) == (True, False, True)
    with session_scope(engine) as session:
        session.execute(update(Job).where(Job.id == job_id).values(scan_count=1_000_000))
    refused = client.get(f"/api/v1/jobs/{job_id}/scans?unlike=true")
    assert (refused.status_code, "view folder_outliers" in refused.json()["detail"]) == (422, True)
    page = client.get(f"/jobs/{job_id}").text
    assert ('name="unlike"' in page, f"photochrom review {job_id}</code>" in page) == (False, True)


def test_a_page_of_scans_unlike_their_folder_reads_the_view_once(web: Web, engine: Engine) -> None:
    make_job(engine, scan_count=12)
    client, statements = web.browser(), list[str]()
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    client.get("/jobs/1?unlike=true&order=colourful").raise_for_status()

    assert sum("folder_outliers" in statement for statement in statements) == 1


def test_a_sort_leaves_out_nothing_and_leads_on_and_back(web: Web, engine: Engine) -> None:
    job_id = make_job(engine, scan_count=150)
    with session_scope(engine) as session:
        first = session.scalar(select(func.min(Scan.id)).where(Scan.job_id == job_id)) or 0
        chosen = update(Scan).where(Scan.job_id == job_id, Scan.id >= first + 60)
        session.execute(chosen.values(review_weight=Scan.id * 0.001))
    client = web.browser()
    ids: list[int] = []
    cursor = ""
    while cursor is not None:
        parameters = {"order": "doubtful", "limit": "40", "cursor": cursor}
        answer = client.get(f"/api/v1/jobs/{job_id}/scans", params=parameters).json()
        ids += [scan["id"] for scan in answer["scans"]]
        cursor = answer["next"]

    assert ids == [*range(first + 149, first + 59, -1), *range(first, first + 60)]
    with read_scope(engine) as session:
        in_order = [session.get_one(Scan, scan_id) for scan_id in ids]
        for place in (0, 88, 89, 90, 91, 149):
            around = [
                scan_pages.neighbour(session, in_order[place], ScanFilter(), "doubtful", backwards=backwards)
                for backwards in (True, False)
            ]
            assert around == [ids[place - 1] if place else None, ids[place + 1] if place < 149 else None]
            assert scan_pages.position(session, in_order[place], ScanFilter(), "doubtful", limit=200) == place + 1
        page = scan_pages.page(session, job_id, ScanFilter(), "doubtful", None, limit=100)
        onward = scan_pages.page(session, job_id, ScanFilter(), "doubtful", str(page.next), limit=100)
        back = scan_pages.page(session, job_id, ScanFilter(), "doubtful", str(onward.previous), limit=100)
    assert [scan.id for scan in back.scans] == ids[:100]


def test_the_grid_says_how_many_of_the_scans_it_shows(web: Web) -> None:
    browser = web.browser()

    assert "6 of 6 shown" in browser.get("/jobs/1?order=doubtful").text
    assert "2 of 6 shown" in browser.get("/jobs/1?doubtful=true").text


def test_a_scan_that_failed_offers_to_try_again_and_one_that_waits_shows_no_colourfulness(
    web: Web, engine: Engine
) -> None:
    browser = web.browser()
    page = browser.get("/jobs/1/scans/6").text
    assert "photochrom retry" not in page
    assert 'value="retry">Try again</button>' in page
    with session_scope(engine) as session:
        session.execute(update(Scan).where(Scan.id == 6).values(state="pending", colourfulness=33.3))
    page = browser.get("/jobs/1/scans/6").text.partition("All recorded values")[0]
    assert "33.3" not in page
