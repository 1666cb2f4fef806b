"""The report's plots as SVG, each in a wide and a narrow version, so that its letters keep their size on a phone."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from scheduler.report.data import Bins

# In inches of 72 SVG units. On the page a unit is about 1.33 px, so letters of 9 units have 12 px.
WIDE = (6.6, 2.5)
NARROW = (3.7, 2.3)

INK, SOFT, LINE, TEAL = "#22201c", "#5d574d", "#ddd6c8", "#1d5c63"
# The colours go from the grey of a scan to the vermilion of a photochrom print.
VIVIDNESS = LinearSegmentedColormap.from_list("vividness", ["#a39d92", "#b98a5c", "#c4622d", "#b5321c"])
# Hasler and Suesstrunk 2003, table 2.
COLOURFUL_WORDS = ((15, "slightly"), (33, "moderately"), (59, "quite"), (82, "highly"))

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay text, which is smaller than outlines and uses the reader's font
    "svg.hashsalt": "photochrom",  # the same ids, and so the same bytes, every time
    "font.size": 9,
    "text.color": SOFT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "ytick.left": False,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot as two data URIs of SVG."""

    wide: str
    narrow: str


def throughput_plot(bins: Bins) -> Plot:
    """Scans per second over the time since a worker began."""
    unit_seconds, unit = _time_unit(bins.width * len(bins.counts))

    def draw(axes: Axes, width: float) -> None:
        edges = [index * bins.width / unit_seconds for index in range(len(bins.counts) + 1)]
        axes.stairs([count / bins.width for count in bins.counts], edges, fill=True, color=TEAL, alpha=0.85)
        axes.set(xlim=(0, edges[-1]), xlabel=f"{unit} since a worker began", ylabel="scans per second")
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="y", nbins=4)
        axes.locator_params(axis="x", nbins=8 if width > 5 else 5, steps=[1, 2, 3, 5, 6, 10])

    return _plot(draw)


def colourfulness_plot(bins: Bins) -> Plot:
    """How many scans have which colourfulness. Some values have the words of the measure's authors."""

    def draw(axes: Axes, width: float) -> None:
        lefts = [index * bins.width for index in range(len(bins.counts))]
        colours = [VIVIDNESS(min(1.0, left / 85)) for left in lefts]
        axes.bar(lefts, bins.counts, width=bins.width * 0.9, align="edge", color=colours)
        axes.set(xlim=(0, lefts[-1] + bins.width), xlabel="colourfulness", ylabel="scans")
        axes.locator_params(axis="y", nbins=4, integer=True)
        for value, word in COLOURFUL_WORDS:
            if value >= axes.get_xlim()[1]:
                break
            axes.axvline(value, ymax=1.03, color=SOFT, linewidth=0.6, linestyle=(0, (2, 3)), clip_on=False)
            place: dict[str, Any] = {"xy": (value, 1.03), "xycoords": ("data", "axes fraction"), "xytext": (2, 0)}
            axes.annotate(word, **place, textcoords="offset points", fontsize=8 if width > 5 else 6.5)

    return _plot(draw)


def certainty_plot(bins: Bins) -> Plot:
    """How many percent of the scans have which certainty."""

    def draw(axes: Axes, width: float) -> None:
        lefts = [100 * index * bins.width for index in range(len(bins.counts))]
        axes.bar(lefts, bins.counts, width=90 * bins.width, align="edge", color=TEAL, alpha=0.85)
        axes.set(xlim=(0, 100), xlabel="certainty, %", ylabel="scans")
        axes.locator_params(axis="y", nbins=4, integer=True)
        axes.locator_params(axis="x", nbins=10 if width > 5 else 5)

    return _plot(draw)


def _plot(draw: Callable[[Axes, float], None]) -> Plot:
    return Plot(wide=_svg(draw, WIDE), narrow=_svg(draw, NARROW))


def _svg(draw: Callable[[Axes, float], None], inches: tuple[float, float]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes, inches[0])
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    svg = content.getvalue().replace("'DejaVu Sans'", "system-ui")
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _time_unit(seconds: float) -> tuple[float, str]:
    for unit_seconds, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds > 3 * unit_seconds:
            return unit_seconds, unit
    return 1, "seconds"
