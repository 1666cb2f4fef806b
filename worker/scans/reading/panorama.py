"""The model inputs of a scan: one square, or several along the longer side of a long scan.

In one square, a panorama would be a narrow strip, too small for the model. So it is divided into overlapping squares
with its full height. Their colours are blended, and fade out towards the edges, so that no seams can be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.scans.geometry import Box
from worker.scans.reading.model_input import ModelInput, make_model_input

Floats = NDArray[np.float32]

LONGEST_IN_ONE = 2.5  # longer side / shorter side; up to this, one square shows the scan
_LONGEST = 16  # beyond this ratio, the model sees a scan shortened, so that the number of squares is limited
_STEP = 2 / 3  # of a square: the largest distance from one square to the next
MAX_COLOUR_SIDE = 2400  # colour samples along the longer side; more would take memory and not be visible


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """`squares` are the model inputs in their order along the scan; `starts` are the samples at which they begin.

    `length` is the number of samples along the whole scan; a square has as many samples as it is wide. 0 if there is
    only one square.
    """

    squares: tuple[ModelInput, ...]
    starts: tuple[int, ...] = (0,)
    length: int = 0
    is_upright: bool = False
    picture: Box | None = None

    def joined(self, predictions: Sequence[Floats]) -> tuple[ModelInput, Floats]:
        """Join the a*, b* of all squares, (size, size, 2) each.

        Returns the square or strip that they belong to, and the colours.
        """
        if not self.length:
            return self.squares[0], predictions[0]
        size = len(predictions[0])
        ab, weights = np.zeros((size, self.length, 2), np.float32), np.zeros(self.length, np.float32)
        fade = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32) + 0.5
        for start, prediction in zip(self.starts, predictions, strict=True):
            along = prediction.transpose(1, 0, 2) if self.is_upright else prediction
            ab[:, start : start + size] += along * fade[:, None]
            weights[start : start + size] += fade
        ab /= weights[:, None]
        share = min(1.0, MAX_COLOUR_SIDE / self.length)
        shape = (max(1, round(size * share)), max(1, round(self.length * share)))
        if share < 1:
            ab = cv2.resize(ab, shape[::-1], interpolation=cv2.INTER_AREA)
        if self.is_upright:
            ab, shape = np.ascontiguousarray(ab.transpose(1, 0, 2)), shape[::-1]
        whole = ModelInput(np.zeros(shape, np.float32), Box(0, 0, shape[1], shape[0]), self.picture)
        return whole, ab


def is_long(width: int, height: int) -> bool:
    """Whether several squares are needed to see a picture of this size."""
    return max(width, height) > LONGEST_IN_ONE * min(width, height)


def length_of(width: int, height: int, size: int) -> int:
    """The number of samples along the longer side, if the shorter side has `size`."""
    return round(size * min(_LONGEST, max(width, height) / min(width, height)))


def inputs_along(grey: Pixels, size: int, picture: Box | None) -> ModelInputs:
    """The squares of a picture in sRGB grey, which has the shape (size, length) or, if it is upright,
    (length, size).
    """
    is_upright = grey.shape[0] > grey.shape[1]
    length = max(grey.shape)
    count = 1 + int(np.ceil((length - size) / (_STEP * size)))
    starts = tuple(round(number * (length - size) / (count - 1)) for number in range(count))
    box = Box(0, 0, size, size)
    parts = (grey[start : start + size] if is_upright else grey[:, start : start + size] for start in starts)
    squares = tuple(make_model_input(part, box, size) for part in parts)
    return ModelInputs(squares, starts, length, is_upright, picture)
