"""The model input: a square with the whole scan in its middle, with its proportions, and mirror images around it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import Pixels
from worker.colour.lab import grey_lightness
from worker.scans.geometry import Box

MODEL_INPUT_SIZE = 400  # pixels; what the fusion model takes


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A scan as the model sees it.

    `lightness` is L*, float32 (size, size), 0..100. Outside `box` it is the picture mirrored at its edges, because bars
    of one grey would make a strong edge that is not in the scan. `picture` is the part of the scan that is shown, in
    the scan's pixels; None for all of it.
    """

    lightness: NDArray[np.float32]
    box: Box
    picture: Box | None = None


def box_in_square(width: int, height: int, size: int) -> Box:
    """The largest box of the proportions width : height in the middle of a square, at least one pixel each way."""
    longest = max(width, height)
    inner_width = max(1, round(width * size / longest))
    inner_height = max(1, round(height * size / longest))
    return Box((size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height)


def fit(grey: Pixels, box: Box) -> Pixels:
    """Grey (height, width), reduced or enlarged to the box, in sRGB-coded values as in image viewers."""
    grey = _halved(grey, min(grey.shape[1] // box.width, grey.shape[0] // box.height))
    larger = box.width > grey.shape[1] or box.height > grey.shape[0]
    interpolation = cv2.INTER_LINEAR if larger else cv2.INTER_AREA
    fitted: Pixels = cv2.resize(grey, (box.width, box.height), interpolation=interpolation)
    return fitted


def _halved(grey: Pixels, limit: int) -> Pixels:
    """Grey, halved as often as the factor `limit` allows. This is many times faster than reducing by another factor.

    Pixels that are left over are cut off on both sides: less than half a pixel of the result.
    """
    step = 1 << max(0, limit.bit_length() - 1)
    (height, below), (width, right) = (divmod(side, step) for side in grey.shape)
    grey = grey[below // 2 : below // 2 + height * step, right // 2 : right // 2 + width * step]
    while grey.shape != (height, width):
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return grey


def make_model_input(picture: Pixels, box: Box, size: int, shown: Box | None = None) -> ModelInput:
    """The square around a picture (box.height, box.width) of sRGB grey, 8 or 16 bits. `shown`: the part of the scan
    that the picture shows; None for all of it.
    """
    below, right = size - box.top - box.height, size - box.left - box.width
    padded = cv2.copyMakeBorder(picture, box.top, below, box.left, right, cv2.BORDER_REFLECT)
    return ModelInput(grey_lightness(8 * picture.itemsize)[padded], box, shown)
