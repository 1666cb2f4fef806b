"""Random changes of a photo during training: crop, zoom, rotation, mirroring, and another tone."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.training.data.photos import Pixels

ROTATION_DEGREES = 4.0  # standard deviation; scans are often a little rotated
GAMMA_SPREAD = 0.15  # standard deviation of log gamma; films and prints differ in tone
SHRINK_BELOW = 0.7  # a stronger reduction is first done by area, because otherwise fine texture would alias


@dataclass(frozen=True)
class Zoom:
    """Before a crop is taken, the photo's short side is scaled to a size between these two, px."""

    smallest_px: float
    largest_px: float


def random_crop(photo: Pixels, side_px: int, zoom: Zoom, rng: np.random.Generator) -> Pixels:
    """Photo (height, width, 3), 0..255 -> a crop (side, side, 3): zoomed, turned a little, perhaps mirrored."""
    scale = np.exp(rng.uniform(np.log(zoom.smallest_px), np.log(zoom.largest_px))) / min(photo.shape[:2])
    if scale < SHRINK_BELOW:
        photo = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        scale = 1.0
    angle = np.deg2rad(rng.normal() * ROTATION_DEGREES)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [[mirror], [1.0]]
    height, width = photo.shape[:2]
    centre = np.array([_middle(width, side_px / scale, rng), _middle(height, side_px / scale, rng)])
    shift = side_px / 2 - turn @ centre
    placed = cv2.warpAffine(
        photo, np.c_[turn, shift], (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(placed, np.uint8)


def random_tone(lightness: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """L*, 0..100 -> L*, with another gamma for half of the photos. The target colours stay the same."""
    if rng.random() < 0.5:
        return lightness
    gamma = np.exp(rng.normal() * GAMMA_SPREAD)
    return np.asarray(100 * np.clip(lightness / 100, 0, 1) ** gamma, np.float32)


def _middle(length: float, window: float, rng: np.random.Generator) -> float:
    """A random position of a window's middle in a length; the length's middle if the window is longer."""
    return float(rng.uniform(window / 2, length - window / 2)) if length > window else length / 2
