"""What needs review, and verdicts, as people see them in a terminal, or as rows for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from db.models.reviews import Review
from scheduler.cli.display.job_tables import printable

_VERDICT_FIELDS = ("verdict", "reviewed_by", "reviewed_at", "note", "redo_job_id")


def queue_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of the view review_queue; columns that are empty in all of them are left out."""
    columns = {
        "reasons": [row["reasons"] for row in rows],
        "certainty": ["" if row["certainty"] is None else f"{row['certainty']:.0%}" for row in rows],
        "colourfulness": ["" if row["colourfulness"] is None else f"{row['colourfulness']:.1f}" for row in rows],
        "size": [f"{row['width']} x {row['height']}" for row in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}  # the paper head gives no certainty
    table = Table()
    table.add_column("output", overflow="fold")
    for name in shown:
        table.add_column(name)
    for number, row in enumerate(rows):
        table.add_row(Text(printable(row["output_key"])), *(cells[number] for cells in shown.values()))
    return table


def verdict_rows(verdicts: Sequence[tuple[Review, str]]) -> list[dict[str, Any]]:
    return [
        {"source_key": key, **{name: getattr(review, name) for name in _VERDICT_FIELDS}} for review, key in verdicts
    ]


def verdicts_table(verdicts: Sequence[tuple[Review, str]]) -> Table:
    table = Table()
    table.add_column("scan", overflow="fold")
    for name in ("verdict", "by", "at", "note"):
        table.add_column(name)
    for review, key in verdicts:
        verdict = review.verdict if review.redo_job_id is None else f"{review.verdict} by job {review.redo_job_id}"
        table.add_row(
            Text(printable(key)),
            verdict,
            Text(printable(review.reviewed_by)),
            f"{review.reviewed_at:%Y-%m-%d %H:%M} UTC",
            Text(printable(review.note or "")),
        )
    return table
