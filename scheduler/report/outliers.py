"""Outputs that differ much from the others in their folder, such as one green face among forty brown ones.

The view folder_outliers finds them by the same limits.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FEWEST = 8  # with fewer scans in a folder, nobody knows what is usual there
FAR = 3.5  # robust standard deviations, as Iglewicz and Hoaglin (1993) recommend
_SMALLEST_SPREAD = 2.0  # of colourfulness; people don't see smaller differences
# Of mean colours, in CIE units. So an output that is nearer than 5 is no outlier. People just see a difference of 2.3
# (Mahy, Van Eycken and Oosterlinck 1994).
_SMALLEST_AB_SPREAD = 1.5


def distances(values: Iterable[float]) -> list[float]:
    """The distance of each value from the median, in robust standard deviations (from the median absolute
    deviation).
    """
    array = np.fromiter(values, dtype=float)
    if len(array) < FEWEST:
        return [0.0] * len(array)
    median = np.median(array)
    return _in_deviations(array - median, np.abs(array - median), _SMALLEST_SPREAD)


def ab_distances(means: Iterable[tuple[float, float]]) -> list[float]:
    """The distance of each mean a*, b* from the median a* and b*, as in `distances`, but never negative.

    Outputs of equal colourfulness may differ in hue.
    """
    array = np.array(list(means), dtype=float).reshape(-1, 2)
    if len(array) < FEWEST:
        return [0.0] * len(array)
    apart = np.linalg.norm(array - np.median(array, axis=0), axis=1)
    return _in_deviations(apart, apart, _SMALLEST_AB_SPREAD)


def _in_deviations(differences: NDArray[np.float64], apart: NDArray[np.float64], smallest: float) -> list[float]:
    spread = max(smallest, 1.4826 * float(np.median(apart)))
    return [float(distance) for distance in differences / spread]
