"""Outputs that differ much from the others in their folder, such as one green face among forty brown ones.

The view folder_outliers finds them by the same limits.
"""

from collections.abc import Iterable

import numpy as np

FEWEST = 8  # with fewer scans in a folder, nobody knows what is usual there
FAR = 3.5  # robust standard deviations, as Iglewicz and Hoaglin (1993) recommend
_SMALLEST_SPREAD = 2.0  # of colourfulness; people don't see smaller differences


def distances(values: Iterable[float]) -> list[float]:
    """The distance of each value from the median, in robust standard deviations (from the median absolute
    deviation).
    """
    array = np.fromiter(values, dtype=float)
    if len(array) < FEWEST:
        return [0.0] * len(array)
    median = np.median(array)
    spread = max(_SMALLEST_SPREAD, 1.4826 * float(np.median(np.abs(array - median))))
    return [float(distance) for distance in (array - median) / spread]
