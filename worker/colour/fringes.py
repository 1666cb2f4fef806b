"""Finds a scanner's colour fringes: where its red, green and blue do not meet, edges of grey are red or cyan.

A line of lightness has a fringe on each side, in opposite colours. At an edge that stands alone there is one fringe. It
covers the one or two pixels by which the colours miss each other, so it is weak beside the edge's own contrast.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_REACH = 2  # pixels; so far from a fringe is its partner, and the edge that it follows
_OPPOSITE = 0.4  # a partner has at least this share of a fringe's colour, in the opposite hue
_PER_CONTRAST = 0.28  # a fringe has at most so many units of a*, b* for each unit of L* of its edge

Levels = NDArray[np.uint8]
Offsets = NDArray[np.int8]


def find_fringes(lightness: Levels, off: Offsets, is_far: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels of `is_far`, (height, width), are fringes.

    `lightness` is L*, (height, width), 0..100; `off` is a* and b* from the tone, (height, width, 2), -127..127.
    """
    fringes = np.zeros_like(is_far)
    rows, columns = np.nonzero(is_far)
    if not len(rows):
        return fringes
    colour = off[rows, columns].astype(np.float32)  # (pixels, 2)
    strength = np.hypot(colour[:, 0], colour[:, 1])
    is_fringe = strength <= _PER_CONTRAST * _contrast(lightness)[rows, columns]
    strong = np.flatnonzero(~is_fringe)
    is_fringe[strong] = _opposite(off, rows[strong], columns[strong], colour[strong]) >= _OPPOSITE * strength[strong]
    fringes[rows, columns] = is_fringe
    return fringes


def _contrast(lightness: Levels) -> Levels:
    """The range of L* around each pixel."""
    around = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    contrast: Levels = cv2.subtract(cv2.dilate(lightness, around), cv2.erode(lightness, around))
    return contrast


def _opposite(
    off: Offsets, rows: NDArray[np.intp], columns: NDArray[np.intp], colour: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How strong the colour opposite to each pixel's own is around it, at most; (pixels,), 0 and more."""
    framed = np.pad(off, ((_REACH, _REACH), (_REACH, _REACH), (0, 0)))
    hue = colour / np.maximum(np.hypot(colour[:, 0], colour[:, 1]), 1)[:, None]
    opposite = np.zeros(len(rows), np.float32)
    for down in range(2 * _REACH + 1):
        for across in range(2 * _REACH + 1):
            neighbour = framed[rows + down, columns + across]
            np.maximum(opposite, -(neighbour * hue).sum(axis=1), out=opposite)
    return opposite
