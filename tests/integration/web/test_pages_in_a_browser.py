"""The pages in a real browser, light and dark, on desktop and phone: no barrier by axe's rules, and no mouse needed."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, select

from db.migrations import upgrade
from db.models.jobs import Job, Scan, ScanState
from db.queries.jobs import lifecycle
from db.session import make_engine, read_scope, session_scope
from scheduler.access.actor import Actor
from scheduler.actions import submissions
from scheduler.daemon.background_listings import BackgroundListings
from scheduler.submission.request import Submission
from scheduler.submission.sampling import parse_sample
from tests import browser as browsers
from tests.at_once import AtOnce
from tests.integration.web.conftest import Web, away, form, make_collection, make_web, write_picture
from tests.programs import CHROMIUM

PAGES = ("/jobs", "/jobs/1", "/jobs/1/failures", "/jobs/1/details", "/jobs/1/scans/1", "/jobs/1/scans/6",
         "/jobs/1/review/1", "/jobs/1/sample", "/jobs/new", "/schedules", "/schedules/new", "/pool", "/sign-in",
         "/scans", "/scans?key=box/0.jpg",
         "/jobs/99", "/jobs/1?unlike=true", "/jobs/2", "/jobs/3", "/jobs/4", "/jobs/4/sample",
         "/jobs/1/review/end", "/schedules/one?name=plates")  # fmt: skip
SIZES = {"desktop": browsers.DESKTOP, "phone": browsers.PHONE}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = CHROMIUM.path()
    if path is None:
        pytest.skip(CHROMIUM.absence)
    with browsers.running(path) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = make_engine(f"sqlite:///{tmp_path_factory.mktemp('pages') / 'photochrom.db'}")
    upgrade(engine)
    return engine


@pytest.fixture(scope="module")
def address(pages_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served application over the collection of conftest, whose second scan is large.

    Job 2 could not be listed, and job 3 is still to be listed.
    """
    folder: Path = tmp_path_factory.mktemp("served")
    web = make_web(pages_engine, folder, folder / "scans", folder / "colour")
    make_collection(pages_engine, web.source, web.destination)
    for place, bands in ((web.source, 1), (web.destination, 3)):
        write_picture(place / "box/1.jpg", 1, bands=bands, width=1500, height=1000)
    for name in ("empty", "waiting"):
        (folder / name).mkdir()
        places = {"source": str(folder / name), "destination": str(folder / f"{name} colour")}
        web.browser().post("/jobs/new", data=form(**places, action="submit"))
        if name == "empty":
            BackgroundListings(pages_engine, web.context.settings, AtOnce()).round()
    make_sample(pages_engine, web)
    plates = {"source": str(web.source), "destination": str(web.destination), "cron": "@daily", "timezone": "UTC"}
    web.browser().post("/schedules/new", data=form(schedule="plates", **plates))
    config = uvicorn.Config(web.app, port=0, log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    started = threading.Event()
    server_startup = server.startup

    async def startup(sockets: object = None) -> None:
        await server_startup(None)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


def make_sample(engine: Engine, web: Web) -> None:
    """Make job 4, which waits for a choice from two scans in two ways; of each way one scan is coloured."""
    request = parse_sample(2, "paper,vivid", None)
    submission = Submission(str(web.source), str(web.source.parent / "chosen"), sample=request)
    submitted = submissions.submit(engine, web.context.settings, submission, Actor("ada"))
    assert (submitted.job_id, submitted.samples) == (4, [5, 6])
    for job_id in submitted.samples:
        with session_scope(engine) as session:
            scan = session.scalars(select(Scan).where(Scan.job_id == job_id).order_by(Scan.id)).first()
            assert scan is not None
            scan.state, scan.output_sha256 = ScanState.DONE, "f"
            write_picture(Path(lifecycle.get(session, job_id).destination, scan.output_key), job_id, bands=3)


def opened(chromium: Browser, size: str = "desktop", scheme: str = "light") -> Page:
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    return context.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_page_keeps_anybody_out_or_is_wider_than_the_screen(
    chromium: Browser, address: str, size: str, scheme: str
) -> None:
    page = opened(chromium, size, scheme)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    for path in PAGES:
        page.goto(address + path)
        check(page, size)
    page.context.close()
    assert problems == []


def check(page: Page, size: str) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], page.url


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_no_answer_to_a_form_keeps_anybody_out(
    chromium: Browser, address: str, tmp_path: Path, size: str, scheme: str
) -> None:
    page = opened(chromium, size, scheme)
    write_picture(tmp_path / "scans" / "1.jpg", 1, bands=1)
    page.goto(f"{address}/jobs/new")
    page.locator('[name="source"]').fill(str(tmp_path / "scans"))
    page.locator('[name="destination"]').fill(str(tmp_path / "colour"))
    page.get_by_role("button", name="Count and estimate first").click()
    expect(page.locator("main")).to_contain_text("1 scan")
    check(page, size)
    page.goto(f"{address}/pool")
    page.get_by_role("button", name="doctor").click()
    expect(page.locator("main")).to_contain_text("database")
    check(page, size)
    page.goto(f"{address}/sign-in")
    page.locator('[name="name"]').fill("eve")
    page.locator('[name="password"]').fill("a wrong password")
    page.locator("main").get_by_role("button", name="Sign in").click()
    expect(page.locator(".wrong")).to_be_visible()
    check(page, size)
    page.context.close()


def test_a_reviewer_needs_no_mouse(chromium: Browser, address: str, pages_engine: Engine) -> None:
    page = opened(chromium)
    page.goto(f"{address}/jobs/1/review")
    page.keyboard.press("n")
    page.keyboard.type("a green sky")
    page.keyboard.press("Escape")
    for key in ("r", "a"):
        with page.expect_navigation():
            page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("z")

    with read_scope(pages_engine) as session:
        assert [session.get_one(Scan, number).verdict for number in (1, 2)] == ["rejected", None]
    assert page.url.partition("?")[0].endswith("/jobs/1/review/2")
    page.keyboard.press("d")
    assert page.locator("#redo").get_attribute("open") is not None
    page.context.close()


def test_a_slider_and_the_pixels_are_reached_by_keys(chromium: Browser, address: str) -> None:
    page = opened(chromium)
    page.goto(f"{address}/jobs/1/scans/2")
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "49 percent scan, 51 percent colour"
    page.get_by_role("button", name="Pixels").press("Enter")
    expect(page.locator(".zoom .said")).to_have_text(re.compile(r"\d+ %"), timeout=30_000)
    page.locator("canvas").press("1")

    expect(page.locator(".zoom .said")).to_have_text("100 %")
    page.context.close()


def test_the_pixels_of_a_scan_that_failed_are_shown_too(chromium: Browser, address: str) -> None:
    page = opened(chromium)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{address}/jobs/1/scans/6")
    page.get_by_role("button", name="Pixels").press("Enter")
    expect(page.locator(".zoom .said")).to_have_text(re.compile(r"\d+ %"), timeout=30_000)
    page.locator("canvas").press("1")

    expect(page.locator(".zoom .said")).to_have_text("100 %")
    page.get_by_role("button", name="Whole scan").click()
    expect(page.locator(".both img")).to_be_visible()
    assert page.locator(".zoom").is_hidden()
    assert problems == []
    page.context.close()


def test_side_by_side_the_pictures_are_large_and_the_buttons_and_keys_are_in_sight(
    chromium: Browser, address: str
) -> None:
    page = opened(chromium)
    page.goto(f"{address}/jobs/1/review/2")
    expect(page.locator(".keys")).to_be_in_viewport()
    page.get_by_role("button", name="Side by side").click()

    for figure in page.locator(".both figure").all():
        picture, label = figure.locator("img").bounding_box(), figure.locator("figcaption").bounding_box()
        assert picture
        assert label
        assert picture["width"] > 0.44 * SIZES["desktop"][0]
        assert label["y"] + label["height"] <= picture["y"]
    for part in (page.get_by_role("button", name="Accept"), page.locator(".keys"), page.get_by_text("Skip →")):
        expect(part).to_be_in_viewport(ratio=1)
    page.context.close()


def test_many_pictures_are_chosen_and_decided_at_once(chromium: Browser, address: str, pages_engine: Engine) -> None:
    page = opened(chromium)
    page.goto(f"{address}/jobs/1")
    assert not page.locator(".many").is_visible()
    for number in (2, 3):
        page.locator(".pick input").nth(number).check()
    assert page.locator(".many output").inner_text() == "2 pictures chosen"
    with page.expect_navigation():
        page.get_by_role("button", name="Accept").click()

    with read_scope(pages_engine) as session:
        assert [session.get_one(Scan, number).verdict for number in (3, 4)] == ["accepted", "accepted"]
    page.context.close()


def test_open_pages_say_that_the_database_is_away_and_continue_by_themselves(
    chromium: Browser, address: str, pages_engine: Engine
) -> None:
    live, other = opened(chromium), opened(chromium)
    live.goto(f"{address}/jobs")
    with away(pages_engine):
        expect(live.locator(".away")).to_contain_text("The job database can’t be reached", timeout=30_000)
        assert live.locator(".stale").evaluate("part => getComputedStyle(part).outlineStyle") == "dashed"
        assert Axe().run(live).violations_count == 0
        other.goto(f"{address}/jobs/1")
        expect(other.get_by_role("heading")).to_have_text("Not available now")
        assert Axe().run(other).violations_count == 0

    expect(live.locator(".away")).to_be_empty(timeout=30_000)
    expect(live.locator(".stale")).to_have_count(0)
    expect(other.get_by_role("heading").first).to_have_text("a box", timeout=30_000)
    for page in (live, other):
        page.context.close()


def test_a_page_that_nobody_sees_is_not_requested_again(chromium: Browser, address: str, pages_engine: Engine) -> None:
    page, requested = opened(chromium), []
    page.on("request", lambda request: requested.append(request.url))
    page.add_init_script("window.unseen = true; Object.defineProperty(document, 'hidden', { get: () => unseen })")
    page.clock.install()
    with away(pages_engine):
        page.goto(f"{address}/jobs/1")
        page.clock.run_for(10_000)
        assert requested.count(f"{address}/jobs/1") == 1
        page.evaluate("unseen = false")
        with page.expect_request(f"{address}/jobs/1"):
            page.clock.run_for(3_000)
    page.context.close()


def test_a_page_without_its_server_says_since_when(chromium: Browser, address: str) -> None:
    page = opened(chromium)
    page.goto(f"{address}/pool")
    page.route("**/pool?fragment=true", lambda route: route.abort())

    expect(page.locator(".away")).to_contain_text("This page can’t be updated. The figures are from", timeout=30_000)
    page.context.close()


def test_a_page_whose_session_has_ended_asks_to_sign_in_and_stays(chromium: Browser, address: str) -> None:
    page = opened(chromium)
    page.goto(f"{address}/pool")
    page.route("**/pool?fragment=true", lambda route: route.fulfill(status=303, headers={"location": "/sign-in"}))

    link = page.get_by_role("link", name="Sign in again")
    expect(link).to_be_visible(timeout=30_000)
    assert link.get_attribute("href") == "/sign-in?next=%2Fpool"
    page.context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_many_pictures_are_made_again_by_keys_alone(
    chromium: Browser, address: str, pages_engine: Engine, width: int
) -> None:
    page = opened(chromium)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}/jobs/1?order=key")
    page.keyboard.press("a")  # nothing is chosen, so nothing happens
    for number in (3, 4):
        page.locator(".pick input").nth(number).press("Space")
    page.keyboard.press("d")
    field = page.get_by_label("Saturation")
    expect(field).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    field.fill("1.25")
    field.press("Enter")  # accepts nothing
    assert page.url.endswith("/jobs/1?order=key")
    with page.expect_navigation():
        page.get_by_role("button", name="Make the chosen again").press("Enter")

    with read_scope(pages_engine) as session:
        assert [session.get_one(Scan, number).verdict for number in (4, 5)] == ["redone", "redone"]
        redo = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
    assert (redo.options["saturation"], redo.scan_count) == (1.25, 2)
    page.context.close()


def test_the_pages_ask_no_other_address_for_anything(chromium: Browser, address: str) -> None:
    page = opened(chromium)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        page.goto(address + path)
    page.context.close()

    assert asked
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
