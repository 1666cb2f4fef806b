"""What needs review, and verdicts, as people see them in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from db.models.reviews import Review
from scheduler.cli.display.columns import Columns


def queue_table(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Rows of the view review_queue. The paper head gives no certainty."""
    lines = [
        (
            row["reasons"],
            "" if row["certainty"] is None else f"{row['certainty']:.0%}",
            "" if row["colourfulness"] is None else f"{row['colourfulness']:.1f}",
            f"{row['width']} x {row['height']}",
            row["output_key"],
        )
        for row in rows
    ]
    heads = ("reasons", "certainty", "colourfulness", "size", "output")
    return Columns(heads, lines, numbers=heads[1:3])


def verdicts_table(verdicts: Sequence[tuple[Review, str]]) -> Columns:
    lines = [
        (
            review.verdict if review.redo_job_id is None else f"{review.verdict} by job {review.redo_job_id}",
            review.reviewed_by,
            f"{review.reviewed_at:%Y-%m-%d %H:%M} UTC",
            review.note or "",
            key,
        )
        for review, key in verdicts
    ]
    return Columns(("verdict", "by", "at", "note", "scan"), lines)
