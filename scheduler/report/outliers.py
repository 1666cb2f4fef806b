"""Scans that come out unlike their neighbours in the same folder: one green face among forty brown ones.

The view folder_outliers finds them by the same limits.
"""

from collections.abc import Iterable

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
