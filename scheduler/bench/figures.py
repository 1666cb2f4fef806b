"""Figures of the bench: a name, a number, its limit and its goal."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. If it has `must`, it may not be worse than that."""

    part: str
    name: str
    value: float
    unit: str = ""  # "": a ratio; "%": a share, 0..1; otherwise the unit
    must: float | None = None
    aim: float | None = None
    lower_is_better: bool = False
    detail: str = ""

    def holds(self, limit: float | None) -> bool:
        """Whether it is at least as good as `limit`."""
        return limit is None or (self.value <= limit if self.lower_is_better else self.value >= limit)

    def in_words(self, value: float | None) -> str:
        if value is None:
            return ""
        if self.unit == "%":
            return f"{value:.1%}"
        return f"{value:,.3g} {self.unit}".strip() if abs(value) < 1000 else f"{value:,.0f} {self.unit}".strip()


def figures_table(figures: Sequence[Figure]) -> Table:
    table = Table("part", "figure", "measured", "must", "aim", "made of")
    for figure in figures:
        style = "" if figure.must is None else "green" if figure.holds(figure.must) else "bold red"
        table.add_row(
            figure.part,
            figure.name,
            Text(figure.in_words(figure.value), style),
            figure.in_words(figure.must),
            figure.in_words(figure.aim),
            Text(figure.detail),
        )
    return table
