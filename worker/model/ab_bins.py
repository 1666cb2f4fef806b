"""The 313 bins of a*, b* for which the vivid head gives probabilities.

After Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511, section 2.2: a grid of 10
units over the colours that sRGB can show, 313 bins. Theirs is a published list. Ours are the 313 points of the grid
that are nearest to a colour of sRGB, so the list can be checked by its definition.
"""

import numpy as np
from numpy.typing import NDArray

BIN_STEP = 10.0  # CIE units between neighbouring bins
SOFT_NEIGHBOURS = 10  # Zhang et al.: a colour is shared among this many bins
SOFT_SIGMA = 5.0  # with a Gaussian of this width, CIE units
UNIFORM_SHARE = 0.5  # lambda of their class rebalancing

# a*: the first and last b* of its row of bins
_ROWS = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 100), -50: (-30, 100), -40: (-40, 100), -30: (-40, 100),
    -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 80),
    50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-120, 80), 90: (-110, 70), 100: (-80, -10), 110: (-60, -60),
}  # fmt: skip

AB_BIN_CENTRES: NDArray[np.float32] = np.array(
    [(a, b) for a, (first, last) in _ROWS.items() for b in range(first, last + 1, 10)], np.float32
)  # (313, 2), CIE units


def soft_encode(ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """a*, b* (..., 2), CIE units -> weights over the bins (..., 313), each 0..1, 1 in sum.

    Each colour goes to its 10 nearest bins, weighted by a Gaussian of sigma 5 (Zhang et al. 2016).
    """
    flat = ab.reshape(-1, 2)
    squared = ((flat[:, None] - AB_BIN_CENTRES) ** 2).sum(-1)  # (n, 313)
    nearest = np.argpartition(squared, SOFT_NEIGHBOURS, axis=1)[:, :SOFT_NEIGHBOURS]
    distances = np.take_along_axis(squared, nearest, axis=1)
    weights = np.exp(-(distances - distances.min(1, keepdims=True)) / (2 * SOFT_SIGMA**2))
    encoded = np.zeros((len(flat), len(AB_BIN_CENTRES)), np.float32)
    np.put_along_axis(encoded, nearest, (weights / weights.sum(1, keepdims=True)).astype(np.float32), axis=1)
    return encoded.reshape(*ab.shape[:-1], -1)


def class_weights(prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of each bin in the training photos (313,), 1 in sum -> the loss weight of each bin (313,).

    1 / (0.5 prior + 0.5 / 313), scaled so that the mean weight over the prior is 1 (Zhang et al. 2016, eq. 4).
    """
    weights = 1 / ((1 - UNIFORM_SHARE) * prior + UNIFORM_SHARE / len(prior))
    return np.asarray(weights / (prior * weights).sum(), np.float32)
