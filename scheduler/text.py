"""Short texts for people: counts with their nouns, paces, and what an unknown word may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.queries.jobs.lifecycle import Progress


def counted(count: int, noun: str) -> str:
    """`1 scan`, `2 scans`, `12,345 scans`; the noun's plural must be its singular and an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def pace(scans_per_second: float) -> str:
    """A pace in scans a second, or a minute if it is less than one a second."""
    if scans_per_second >= 1:
        return f"{scans_per_second:.1f} scans/s"
    return f"{scans_per_second * 60:.1f} scans/min"


def why_aborted(job: Progress) -> str | None:
    """A sentence with the number of failed scans and the number that was allowed; None if the job was not aborted."""
    if job.job.state != "aborted":
        return None
    return f"{counted(job.failed, 'scan')} failed, but --max-failures allows only {job.job.max_failures:,}"


def nearest(word: str, words: Iterable[str]) -> str:
    """`did you mean disk_full? `, or "" if no word is similar."""
    alike = get_close_matches(word, list(words), n=1)
    return f"did you mean {alike[0]}? " if alike else ""
