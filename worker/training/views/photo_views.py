"""Views of a photo for training: view 0 is the unchanged photo, view 1 is mirrored, the others are cropped and aged.

A view depends only on its row and number, so cached features fit pixels that are made again later.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.training.views.photo_looks import PANCHROMATIC, grey_of, random_emulsion, random_look

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

ROTATION_DEGREES = 3.0  # standard deviation: scans lie a little askew
LARGEST_ZOOM = 1.5
ODD_VIEW_KEY = 17  # part of the random numbers' seed; another number whenever views are made in another way


@dataclass(frozen=True)
class View:
    """`rgb` (side, side, 3), 0..255: the target colours; `grey` (side, side), 0..255: the network's input."""

    rgb: Pixels
    grey: Floats


def photo_view(square: Pixels, row: int, number: int) -> View:
    """View `number` of the photo in a letterboxed square (side, side, 3)."""
    if number == 0:
        return View(square, grey_of(square, PANCHROMATIC))
    if number == 1:
        mirrored = np.ascontiguousarray(square[:, ::-1])
        return View(mirrored, grey_of(mirrored, PANCHROMATIC))
    rng = np.random.default_rng([ODD_VIEW_KEY, row, number])
    rgb = random_placement(square, rng)
    grey = grey_of(rgb, random_emulsion(rng))
    return View(rgb, random_look(grey, rng) if rng.random() < 0.75 else grey)


def view_name(number: int) -> str:
    """The name under which features of view `number` are kept; it changes with the way in which views are made."""
    return f"view-{number}" if number < 2 else f"view-{number}-{ODD_VIEW_KEY}"


def random_placement(square: Pixels, rng: np.random.Generator) -> Pixels:
    """The square zoomed, turned a little, moved and perhaps mirrored, at the same side."""
    side = square.shape[0]
    zoom = np.exp(rng.uniform(0, np.log(LARGEST_ZOOM)))
    angle = np.deg2rad(rng.normal() * ROTATION_DEGREES)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [[mirror], [1.0]]
    room = side / 2 * (1 - 1 / zoom)
    centre = side / 2 + rng.uniform(-room, room, 2)
    shift = side / 2 - turn @ centre
    placed = cv2.warpAffine(
        square, np.c_[turn, shift], (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(placed, np.uint8)
