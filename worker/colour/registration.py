"""Puts the colours of a scan onto each other, where a scanner has recorded red, green and blue beside each other.

A grey page is grey again when its colours meet. A page in colour stays in colour, however its colours are moved.
"""

import math
from itertools import product

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

_REACH = 4  # pixels; scanners miss by one or two
_LEAST_SHIFT = 0.1  # pixels; by less, colours meet well enough
_TILE = 512  # pixels; the shift is measured in a part of this width and height
_LEAST_LIKENESS = (
    0.5  # correlation of two colours; below it, they are of different things, and their shift means nothing
)

Levels = NDArray[np.float32]


def registered(image: pyvips.Image) -> pyvips.Image | None:
    """The image with red and blue moved onto green, by parts of a pixel too; None if they meet already.

    `image` is in memory, with red, green, blue and perhaps alpha, in any format. Colours that lie further apart than
    scanners miss, or that are not alike, stay where they are. The few outermost pixels become those beside them.
    """
    if min(image.width, image.height) <= 4 * _REACH:
        return None
    tile = _richest_tile(image)
    green = _levels(tile, 1)
    shifts = [_shift(green, _levels(tile, band)) for band in (0, 2)]
    if all(math.hypot(*shift) < _LEAST_SHIFT for shift in shifts):
        return None
    moved = [_moved(image[band], *shift) for band, shift in zip((0, 2), shifts, strict=True)]
    whole = moved[0].bandjoin([image[1], moved[1], *(image[band] for band in range(3, image.bands))])
    inner = whole.crop(_REACH, _REACH, image.width - 2 * _REACH, image.height - 2 * _REACH)
    return inner.embed(_REACH, _REACH, image.width, image.height, extend="copy")


def _richest_tile(image: pyvips.Image) -> pyvips.Image:
    """The part of the image with the greatest contrast, because a shift can't be seen on blank paper."""
    width, height = min(_TILE, image.width), min(_TILE, image.height)
    corners = product(
        {0, (image.width - width) // 2, image.width - width}, {0, (image.height - height) // 2, image.height - height}
    )
    return max(
        (image.crop(left, top, width, height) for left, top in sorted(corners)), key=lambda tile: tile[1].deviate()
    )


def _levels(image: pyvips.Image, band: int) -> Levels:
    """One band as (height, width)."""
    return np.asarray(image[band].cast("float").numpy(), np.float32).reshape(image.height, image.width)


def _shift(green: Levels, other: Levels) -> tuple[float, float]:
    """How many pixels the other colour lies to the right of green and below it; 0, 0 if that can't be said."""
    inner = np.ascontiguousarray(green[_REACH:-_REACH, _REACH:-_REACH])
    likeness = cv2.matchTemplate(other, inner, cv2.TM_CCOEFF_NORMED)  # (2 * _REACH + 1, 2 * _REACH + 1), -1..1
    down, across = np.unravel_index(int(np.argmax(likeness)), likeness.shape)
    is_inside = 0 < down < 2 * _REACH and 0 < across < 2 * _REACH
    if not is_inside or not likeness[down, across] >= _LEAST_LIKENESS:
        return 0.0, 0.0
    right = across + _vertex(*likeness[down, across - 1 : across + 2]) - _REACH
    below = down + _vertex(*likeness[down - 1 : down + 2, across]) - _REACH
    return float(right), float(below)


def _vertex(before: float, top: float, after: float) -> float:
    """Where the parabola through three values at -1, 0 and 1 is highest, -0.5..0.5."""
    bend = before - 2 * top + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _moved(band: pyvips.Image, right: float, below: float) -> pyvips.Image:
    """The band moved back by this many pixels."""
    area = [0, 0, band.width, band.height]
    bicubic = pyvips.Interpolate.new("bicubic")
    return band.affine([1, 0, 0, 1], odx=-right, ody=-below, oarea=area, extend="copy", interpolate=bicubic)
