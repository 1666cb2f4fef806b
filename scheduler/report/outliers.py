"""Scans that come out unlike their neighbours in the same folder: one green face among forty brown ones."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

FEWEST = 8  # scans in a folder that say what is usual there
FAR = 3.5  # robust standard deviations, as Iglewicz and Hoaglin (1993) recommend
_SMALLEST_SPREAD = 2.0  # of colourfulness: in a folder of equals, nobody sees less


def distances(values: Iterable[float]) -> list[float]:
    """How far each value lies from the median, in robust standard deviations (of the median absolute deviation)."""
    array = np.fromiter(values, dtype=float)
    if len(array) < FEWEST:
        return [0.0] * len(array)
    median = np.median(array)
    spread = max(_SMALLEST_SPREAD, 1.4826 * float(np.median(np.abs(array - median))))
    return [float(distance) for distance in (array - median) / spread]


def unlike_their_folder(rows: Iterable[tuple[str, int, float]]) -> Iterator[tuple[int, float]]:
    """(scan id, distance) of those that are far from the others of their folder.

    rows: (source key, scan id, colourfulness) in the order of the keys; one folder is in memory at a time.
    """
    for _, folder in groupby(rows, key=lambda row: row[0].rpartition("/")[0]):
        scans = list(folder)
        for (_, scan_id, _), distance in zip(scans, distances(row[2] for row in scans), strict=True):
            if abs(distance) > FAR:
                yield scan_id, distance
