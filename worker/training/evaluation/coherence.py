"""Measures how much the hue varies within regions that are smooth in lightness: one wall should have one colour.

A network that is not sure paints green and orange patches on one wall. A figure for whole photos does not show this,
because a photo has many hues. But a region without edges usually has one hue.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Regions = NDArray[np.int32]

_BLUR_PX = 2.0  # sigma, so that grain and texture are no edges
_STEEPEST = 0.75  # L* a pixel: a steeper slope is an edge
_SMALLEST_SHARE = 0.01  # of the photo: smaller regions are left out
_LEAST_CHROMA = 3.0  # mean chroma of a region; with less, nobody sees its hue


def smooth_regions(lightness: Floats) -> Regions:
    """L* (height, width) -> the number of each pixel's smooth region, from 1 on; 0 where there is none.

    A smooth region is a connected part of at least 1 % of the photo in which L*, blurred by 2 pixels, changes by less
    than 0.75 a pixel.
    """
    blurred = cv2.GaussianBlur(lightness, (0, 0), _BLUR_PX)
    across, down = (cv2.Sobel(blurred, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    smooth = (np.hypot(across, down) < _STEEPEST).astype(np.uint8)
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(smooth, connectivity=4)
    large = sizes[:, cv2.CC_STAT_AREA] >= _SMALLEST_SHARE * lightness.size
    large[0] = False  # what is not smooth
    numbers = np.where(large, np.cumsum(large), 0).astype(np.int32)
    return np.asarray(numbers[labels], np.int32)


def hue_spread(ab: Floats, regions: Regions) -> float:
    """How many degrees the hue of a*, b* (height, width, 2) varies within a region, the mean over their pixels.

    Of each region it is the circular standard deviation sqrt(-2 ln R), each pixel weighed by its chroma: R is the
    length of the sum of all (a*, b*) by the sum of their lengths. Regions that are nearly grey are left out; NaN where
    all are.
    """
    numbers = regions.ravel()
    count = int(numbers.max()) + 1

    def sums(values: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        return np.bincount(numbers, values, count)[1:].astype(np.float64)

    a, b = ab.reshape(-1, 2).astype(np.float64).T
    chroma, pixels = sums(np.hypot(a, b)), sums()
    coloured = chroma >= _LEAST_CHROMA * pixels
    if not coloured.any():
        return float("nan")
    alike = np.hypot(sums(a), sums(b))[coloured] / chroma[coloured]  # 1: one hue
    degrees = np.rad2deg(np.sqrt(-2 * np.log(np.clip(alike, 1e-6, 1))))
    return float(np.average(degrees, weights=pixels[coloured]))
