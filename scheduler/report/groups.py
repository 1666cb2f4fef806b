"""Which scans of a job the report shows: all of a small job, a selection of a large one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.report.collect import MeasurementTable

PAIRS = 24
MOST_OUTLIERS = 4
SEED = 1905  # the same job always shows the same selection

ALL = "all"
MOST_COLOURFUL = "most colourful"
LEAST_COLOURFUL = "least colourful"
LEAST_CERTAIN = "least certain"
UNLIKE = "unlike their folder"
RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    title: str
    sentence: str


GROUPS = (
    Group(ALL, "Every scan", ""),
    Group(RANDOM, "Drawn at random", "These show what the collection looks like as a whole."),
    Group(MOST_COLOURFUL, "Most colourful", "Look here for colours that are too strong."),
    Group(LEAST_COLOURFUL, "Least colourful", "Look here for scans that stayed nearly grey."),
    Group(
        UNLIKE,
        "Unlike their folder",
        "These are much more or much less colourful than the other scans in the same folder, or have other colours.",
    ),
    Group(LEAST_CERTAIN, "Least certain", "The model was least certain of these."),
)


def choose(scans: MeasurementTable, outliers: Sequence[int] = ()) -> list[tuple[int, str]]:
    """(scan id, group) of at most PAIRS scans, each only once, in the order of GROUPS.

    outliers: ids of scans that differ most from their folder, the most different first.
    """
    if len(scans) <= PAIRS:
        return [(int(scan_id), ALL) for scan_id in scans["id"]]
    chosen: dict[int, str] = dict.fromkeys(outliers[:MOST_OUTLIERS], UNLIKE)
    _take(chosen, MOST_COLOURFUL, scans, -scans["colourfulness"], 6)
    _take(chosen, LEAST_COLOURFUL, scans, scans["colourfulness"], 6)
    _take(chosen, LEAST_CERTAIN, scans, scans["certainty"], 3)
    _take(chosen, RANDOM, scans, np.random.default_rng(SEED).permutation(len(scans)), PAIRS - len(chosen))
    order = [group.name for group in GROUPS]
    return sorted(chosen.items(), key=lambda item: order.index(item[1]))


def _take(chosen: dict[int, str], group: str, scans: MeasurementTable, score: np.ndarray, count: int) -> None:
    """Add the `count` scans with the lowest scores that are not chosen yet. Scans without a score are left out."""
    scored = np.flatnonzero(~np.isnan(score))
    lowest = scored[np.argsort(score[scored], kind="stable")[: count + len(chosen)]]
    fresh = [int(scan_id) for scan_id in scans["id"][lowest] if int(scan_id) not in chosen]
    chosen.update(dict.fromkeys(fresh[:count], group))
