"""The page depends only on its data and loads nothing else; any key is shown as text."""

import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from scheduler.report.data import Bins, Fact, Problem, Reason, ReportData, Totals
from scheduler.report.page import duration, name_parts, number, render_report
from tests.unit.report.conftest import PIXEL, pair

NO_WORK: dict[str, Any] = {"seconds": 0, "waited_seconds": None, "busy_seconds": None, "scans_per_second": None}
HOSTILE = [
    "<script>alert(1)</script>.tif",
    '"><img src=x onerror=alert(1)>.tif',
    "{{ 7 * 7 }}{% raw %}.tif",
    "=cmd|' /C calc'!A0.tif",
    "two\nlines\tand\x00nul.tif",
    "right-to-left \u202egpj.exe",
    "no utf-8 \udce9.tif",
    "x" * 1024,
]


@dataclass
class Page(HTMLParser):
    """The tags and the text that a browser would read in the page."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def with_key(data: ReportData, key: str) -> ReportData:
    """The same data with the key in every place that can hold one."""
    reason = Reason("failed", "truncated", 1, (Problem(key, f"{key} ends too early"),))
    missing = pair(key, after=f"{key} is not there any more")
    return replace(
        data,
        job=replace(data.job, name=key, source=key),
        reasons=(reason,),
        pairs=(pair(key), missing),
        facts=(Fact(key, key),),
    )


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_adds_no_tag(data: ReportData, key: str) -> None:
    harmless, hostile = Page(render_report(with_key(data, "1.png"))), Page(render_report(with_key(data, key)))

    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in harmless.tags]
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)


def test_a_hostile_key_is_shown_as_it_is(data: ReportData) -> None:
    page = Page(render_report(with_key(data, HOSTILE[0])))

    assert "<script>alert(1)</script>.tif" in page.text
    assert f"The scan: {HOSTILE[0]}" in [image.get("alt") for image in page.all("img")]


def test_a_job_that_stopped_itself_says_so_and_how_it_goes_on(data: ReportData) -> None:
    job = replace(data.job, state="aborted", aborted_because="3 scans failed, but --max-failures allows only 2")

    text = Page(render_report(replace(data, job=job))).text

    assert (
        "too many scans failed: 3 scans failed, but --max-failures allows only 2. photochrom retry 7 continues it"
        in text
    )
    assert "too many scans" not in Page(render_report(data)).text


def test_the_page_says_whose_settings_it_shows(data: ReportData) -> None:
    words = Page(render_report(data)).text

    whose = words.index("settings of the process that wrote this report")
    assert words.index("photochrom-1") < whose < words.index("Tries of a scan")
    assert "process that wrote" not in Page(render_report(replace(data, settings=()))).text


def test_control_and_direction_marks_are_shown_as_escapes(data: ReportData) -> None:
    text = Page(render_report(with_key(data, "a\nb\u202ec\u200bd\udce9"))).text

    assert r"a\nb[U+202E]c[U+200B]d\xe9" in text


def test_any_key_can_be_written_as_utf_8(data: ReportData) -> None:
    for key in HOSTILE:
        assert render_report(with_key(data, key)).encode("utf-8")


def test_the_page_reaches_for_nothing_outside_itself(data: ReportData) -> None:
    html = render_report(with_key(data, "1.png"))
    page = Page(html)
    addresses = [
        attributes[name] or ""
        for _, attributes in page.tags
        for name in ("src", "href", "srcset", "action", "data")
        if name in attributes
    ]

    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|url\(", html)


def test_the_browser_is_told_to_run_only_the_page_s_own_script(data: ReportData) -> None:
    (policy,) = [tag["content"] or "" for tag in Page(render_report(data)).all("meta") if "http-equiv" in tag]

    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[\w+/]+=*';", policy)


def test_every_slider_has_a_label_and_every_picture_a_text(data: ReportData) -> None:
    page = Page(render_report(replace(data, pairs=(pair("1.png"), pair("2.png")))))
    sliders = [slider["id"] for slider in page.all("input") if slider["type"] == "range"]

    assert sliders == [label["for"] for label in page.all("label")]
    assert len(set(sliders)) == 2
    assert all(image.get("alt") for image in page.all("img"))


def test_headings_descend_one_step_at_a_time(data: ReportData) -> None:
    pairs = (pair("1.png", group="random"), pair("2.png", group="most colourful"))
    levels = [int(tag[1]) for tag, _ in Page(render_report(replace(data, pairs=pairs))).tags if re.match(r"h\d", tag)]

    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_missing_output_is_explained_beside_its_scan(data: ReportData) -> None:
    page = Page(render_report(replace(data, pairs=(pair("1.png", after="1.jpg is not there any more"),))))

    assert "No picture of the result. 1.jpg is not there any more" in page.text
    assert PIXEL.uri in [image.get("src") for image in page.all("img")]
    assert not page.all("input")


def test_failures_beyond_the_listed_are_counted_and_the_command_is_given(data: ReportData) -> None:
    reason = Reason("failed", "truncated", 1_500, (Problem("1.tif", "1.tif ends too early"),))
    text = Page(render_report(replace(data, reasons=(reason,)))).text

    assert "1.tif ends too early" in text
    assert "and 1,499 more; photochrom scans 7 --state failed lists them all." in text


@pytest.mark.parametrize("message", ["1.tif ends early", "'1.tif' ends early", "1.tif: ends early", "ends early"])
def test_a_key_at_the_beginning_of_its_message_is_not_shown_twice(data: ReportData, message: str) -> None:
    reason = Reason("failed", "truncated", 1, (Problem("1.tif", message),))

    assert "1 failed 1.tif ends early" in Page(render_report(replace(data, reasons=(reason,)))).text


def test_the_page_of_a_job_without_any_result_stands(data: ReportData) -> None:
    totals = Totals(scans=3, done=0, failed=0, skipped=0, pending=3, megapixels=0, **NO_WORK)
    empty = replace(data, totals=totals, pairs=(), stages=(), median_colourfulness=None)

    assert "0 of 3 scans were coloured, 3 are still to do." in Page(render_report(empty)).text


def test_the_same_data_gives_the_same_page_with_its_plots(data: ReportData) -> None:
    measured = replace(data, throughput=Bins(60.0, (0, 30, 12)), colourfulness=Bins(5.0, (0, 1, 40, 1)))
    html = render_report(measured)

    assert html == render_report(measured)
    assert "Scans per second since a worker began" in html
    assert "Distribution of colourfulness" in html


def test_a_long_key_is_cut_in_a_caption_and_keeps_its_name() -> None:
    prefix, name = name_parts("folder/" * 100 + "page 12.tif")

    assert name == "page 12.tif"
    assert prefix.startswith("…")
    assert len(prefix) + len(name) <= 160


@pytest.mark.parametrize(
    ("seconds", "said"), [(47.6, "48 s"), (200, "3 min 20 s"), (25_500, "7 h 05 min"), (187_200, "2 d 4 h")]
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("value", "said"), [(12345, "12,345"), (0.466, "0.47"), (16.24, "16.2"), (1234.5, "1,234")])
def test_a_number_has_as_many_figures_as_can_be_read(value: float, said: str) -> None:
    assert number(value) == said
