"""The report's page: one HTML file that needs nothing else. It is made only from ReportData."""

import base64
import hashlib
from datetime import datetime
from pathlib import Path

from db.queries.scans.review_weight import NEARLY_GREY_BELOW
from scheduler.report.data import Bins, Pair, Picture, ReportData
from scheduler.report.groups import GROUPS
from scheduler.report.plain_text import shortened, visible, without_key
from scheduler.report.plots import certainty_plot, colourfulness_plot, throughput_plot
from scheduler.templates import template_environment
from worker.error_codes import ERROR_CODES
from worker.observability.stages import Stage

TEMPLATES = Path(__file__).parent / "templates"
CAPTION_LETTERS = 160
OPEN_PROBLEMS = 12  # a longer list is closed at first

# What each stage does, for people who don't know the program.
STAGE_WORDS = {
    Stage.FETCH: "from the source",
    Stage.OPEN: "decoded, converted to lightness",
    Stage.WAIT: "for its batch",
    Stage.PREDICT: "its batch on the device",
    Stage.COMPOSE: "colour joined with the scan",
    Stage.STORE: "into the destination",
}


def render_report(data: ReportData) -> str:
    """The page as HTML; write it as UTF-8. The same data gives the same page."""
    environment = template_environment(TEMPLATES)
    environment.filters.update(
        visible=visible, number=number, milliseconds=milliseconds, duration=duration, utc=utc, name_parts=name_parts
    )
    environment.filters.update(frame_ratio=frame_ratio, without_key=without_key, remedy=remedy)
    environment.tests["picture"] = lambda value: isinstance(value, Picture)
    script = (TEMPLATES / "report.js").read_text("utf-8")
    return environment.get_template("report.html").render(
        data=data,
        job=data.job,
        totals=data.totals,
        groups=[(group, [pair for pair in data.pairs if pair.group == group.name]) for group in GROUPS],
        throughput=throughput_plot(data.throughput) if any(data.throughput.counts) else None,
        peak=max(data.throughput.counts, default=0) / data.throughput.width,
        colours=colourfulness_plot(data.colourfulness) if any(data.colourfulness.counts) else None,
        certainty=certainty_plot(data.certainty) if any(data.certainty.counts) else None,
        nearly_grey=_below(data.colourfulness, NEARLY_GREY_BELOW),
        nearly_grey_limit=NEARLY_GREY_BELOW,
        open_problems=OPEN_PROBLEMS,
        stage_words=STAGE_WORDS,
        style=(TEMPLATES / "report.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def remedy(code: str) -> str:
    """What to do about scans with this error code; "" for an unknown code."""
    return ERROR_CODES[code].remedy.replace("`", "") if code in ERROR_CODES else ""


def number(value: float) -> str:
    """A number as text: 1234 as 1,234; below 100, with three digits."""
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """A duration in its two largest units: 48 s, 3 min 20 s, 7 h 05 min, 2 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def utc(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def name_parts(key: str) -> tuple[str, str]:
    """A key's prefix and name as they may be shown; very long ones are cut."""
    prefix, slash, name = visible(key).rpartition("/")
    name = shortened(name, CAPTION_LETTERS)
    prefix += slash
    room = max(20, CAPTION_LETTERS - len(name))
    return (prefix if len(prefix) <= room else "…" + prefix[1 - room :]), name


def frame_ratio(pair: Pair) -> str:
    """Width / height of the pair's frame.

    A strip or a scroll is letterboxed, because otherwise it would be a thin line.
    """
    for side in (pair.after, pair.before):
        if isinstance(side, Picture):
            return f"{min(2.6, max(0.62, side.width / side.height)):.3f}"
    return "1.5"


def _below(bins: Bins, limit: float) -> int:
    return sum(count for index, count in enumerate(bins.counts) if (index + 1) * bins.width <= limit + 1e-9)
