"""The report in a browser: at phone and desktop width, by keyboard, with a screen reader, and with hostile keys."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pyvips
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from scheduler.report.data import Bins, Fact, Problem, Reason, ReportData
from scheduler.report.page import render_report
from scheduler.report.thumbnails.data_uri import thumbnail
from tests import browser as browsers
from tests.programs import CHROMIUM
from tests.unit.report.conftest import data, pair
from tests.unit.report.test_report_page import HOSTILE, with_key

__all__ = ["data"]

OpenPage = Callable[..., Page]
rendered = cache(render_report)  # its plots take a while

WIDTHS = {"phone": browsers.PHONE, "desktop": browsers.DESKTOP}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.running(CHROMIUM.require()) as browser:
        yield browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    dice = np.random.default_rng(3)
    for number, (width, height) in enumerate([(300, 200), (200, 300), (900, 60)]):
        pixels = dice.integers(0, 256, (height, width, 3), np.uint8)
        pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").write_to_file(str(folder / f"{number}.png"))
    return sorted(folder.iterdir())


@pytest.fixture
def full(data: ReportData, pictures: list[Path]) -> ReportData:
    """A report with something in every part of its page."""
    shown = [thumbnail(picture) for picture in pictures]
    pairs = [pair(f"box {n}/{n:04}.tif", before=each, after=each, certainty=0.4) for n, each in enumerate(shown * 3)]
    return replace(
        data,
        job=replace(data.job, name="Glass plates of the Istituto, 1905 to 1931"),
        totals=replace(data.totals, scans=12, done=9, failed=2, skipped=1),
        throughput=Bins(60.0, (3, 30, 12)),
        colourfulness=Bins(5.0, (0, 1, 40, 1)),
        certainty=Bins(0.05, (0, 1, 40, 1)),
        median_certainty=0.12,
        reasons=(
            Reason("failed", "truncated", 2, (Problem("box 1/bad.tif", "box 1/bad.tif ends early"),)),
            Reason("skipped", "already_colour", 1, (Problem("box 1/red.tif", "is in colour already"),)),
        ),
        pairs=(*pairs, pair("box 9/gone.tif", after="box 9/gone.tif is not there any more")),
        facts=(Fact("Checkpoint", "photochrom-1 (9 scans)"), Fact("Quality", "95")),
        settings=(Fact("Tries of a scan", "5"), Fact("Largest scan, pixels", "1,000,000,000")),
    )


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Iterator[OpenPage]:
    """Opens a report's page without any network. The page may request nothing but the file itself."""
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    said: list[str] = []

    def open_page(report: ReportData, width: str = "desktop") -> Page:
        path = tmp_path / "report.html"
        path.write_text(rendered(report), encoding="utf-8")
        size = WIDTHS[width]
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
    assert said == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen_and_no_letter_is_tiny(
    open_page: OpenPage, full: ReportData, width: str
) -> None:
    page = open_page(full, width)

    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    assert page.evaluate(SMALLEST_LETTERS) >= 11


# The font size, in CSS pixels, of the smallest text that is shown.
SMALLEST_LETTERS = """() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let smallest = 99;
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (walk.currentNode.textContent.trim() && parent.checkVisibility() && parent.tagName != "SCRIPT")
      smallest = Math.min(smallest, parseFloat(getComputedStyle(parent).fontSize));
  }
  return smallest;
}"""


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_that_keeps_people_out(open_page: OpenPage, full: ReportData, width: str) -> None:
    found = Axe().run(open_page(full, width))

    assert found.violations_count == 0, found.generate_report()


def test_a_slider_moves_by_key_and_says_where_it_is(open_page: OpenPage, full: ReportData) -> None:
    page = open_page(full)
    slider = page.get_by_role("slider").first
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type == 'range'"):
            break
    before = page.evaluate(SPLIT)

    for _ in range(10):
        page.keyboard.press("ArrowLeft")

    assert slider.get_attribute("aria-valuetext") == "40 percent scan, 60 percent colour"
    assert (before, page.evaluate(SPLIT)) == ("50%", "40%")


SPLIT = "getComputedStyle(document.querySelector('.pair .frame')).getPropertyValue('--split').trim()"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_slider_moves_by_a_drag_over_its_picture(open_page: OpenPage, full: ReportData, width: str) -> None:
    page = open_page(full, width)
    frame = page.locator(".pair .frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2

    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=5)
    page.mouse.up()

    assert 85 <= float(page.evaluate(SPLIT).rstrip("%")) <= 95


def test_one_button_turns_every_picture_to_colour(open_page: OpenPage, full: ReportData) -> None:
    page = open_page(full)

    page.get_by_role("button", name="Colour", exact=True).click()

    assert set(page.locator("input[type=range]").evaluate_all("all => all.map(each => each.value)")) == {"0"}


def test_a_folded_list_of_failures_opens_by_key(open_page: OpenPage, full: ReportData) -> None:
    page = open_page(full)
    folded = page.locator("details.skipped")
    assert not folded.locator("li").first.is_visible()

    folded.locator("summary").press("Enter")

    assert folded.locator("li").first.is_visible()


def test_a_screen_reader_hears_headings_pictures_and_sliders_by_name(open_page: OpenPage, full: ReportData) -> None:
    heard = open_page(full).locator("body").aria_snapshot()

    for said in (
        'heading "Glass plates of the Istituto, 1905 to 1931" [level=1]',
        'heading "Failed and skipped" [level=2]',
        'slider "Share of the picture that shows the scan; the rest is in colour: box 0/0000.tif"',
        'img "In colour: box 0/0000.tif"',
        'img "Distribution of certainty: the median is 12 %',
        'navigation "Parts of this report"',
    ):
        assert said in heard


@pytest.mark.parametrize("key", HOSTILE, ids=range(len(HOSTILE)))
def test_a_key_that_means_harm_is_only_text(open_page: OpenPage, data: ReportData, key: str) -> None:
    page = open_page(with_key(data, key), "phone")

    assert page.locator("body script").count() == 1
    assert page.locator("[onerror], [onload]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= browsers.PHONE[0]
    if key.isprintable():
        assert key in page.locator("h1").inner_text()


def test_the_page_is_read_on_paper_too(open_page: OpenPage, full: ReportData) -> None:
    page = open_page(full)
    page.emulate_media(media="print")

    assert not page.locator("nav").is_visible()
    assert page.locator(".pair img").first.is_visible()
