"""The random numbers of a batch of crops: which part of each photo a crop shows, and how old it is made to look.

They are drawn on the host, so a batch depends only on its number, whatever the device and the backend of Keras are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.training.augmentation.textures import TEXTURE_PX, TEXTURES
from worker.training.views.photo_looks import random_emulsion

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[np.generic]]

ROTATION_DEGREES = 4.0  # standard deviation; scans are often a little rotated
GAMMA_SPREAD = 0.15  # standard deviation of log gamma; films and prints differ in tone
LETTERBOXED_SHARE = 0.1  # of the crops that look old: the whole photo, with mirror images around it
LARGEST_LEVEL = 2  # photos are also kept at a half and a quarter of their size
BLUR_TAPS = 7
PATCHES = 4  # of uneven paper, in each direction


@dataclass(frozen=True)
class Zoom:
    """Before a crop is taken, the photo's short side is scaled to a size between these two, px."""

    smallest_px: float
    largest_px: float


def draw_placements(
    boxes: NDArray[np.int64], side_px: int, zoom: Zoom, letterboxed: NDArray[np.bool_], rng: np.random.Generator
) -> Arrays:
    """For photos that fill boxes (n, 4), left, top, width, height, px: what each crop shows.

    `turn` (n, 2, 2) and `centre` (n, 2): a crop's point p, px from its middle, shows the photo's point centre +
    turn p. `level` (n,): at which of the photo's sizes it is read, so that fine texture does not alias.
    """
    count, origin, sizes = len(boxes), boxes[:, :2], boxes[:, 2:].astype(np.float64)
    spread = rng.uniform(np.log(zoom.smallest_px), np.log(zoom.largest_px), count)
    scale = np.where(letterboxed, side_px / sizes.max(1), np.exp(spread) / sizes.min(1))
    angle = np.deg2rad(rng.normal(size=count) * ROTATION_DEGREES) * ~letterboxed
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    turn = rotation * np.stack([mirror, np.ones(count)], -1)[:, None] / scale[:, None, None]
    room = np.maximum(0, sizes - side_px / scale[:, None]) * ~letterboxed[:, None]
    centre = sizes / 2 + rng.uniform(-0.5, 0.5, (count, 2)) * room
    level = np.clip(np.rint(-np.log2(scale)), 0, LARGEST_LEVEL)
    return {
        "turn": turn.astype(np.float32),
        "centre": centre.astype(np.float32),
        "level": level.astype(np.int32),
        "origin": origin.astype(np.float32),
        "size": sizes.astype(np.float32),
    }


def draw_tones(count: int, rng: np.random.Generator) -> Floats:
    """The gamma of the lightness of crops that do not look old (count,): 1 for half of them."""
    return _for_some(0.5, np.exp(rng.normal(size=count) * GAMMA_SPREAD), 1.0, rng)


def draw_looks(count: int, rng: np.random.Generator) -> Arrays:
    """The random numbers that make `count` crops look old. Each fault occurs with its own probability; numbers of
    faults that do not occur have no effect.
    """
    scratched = rng.random(count) < 0.06
    return {
        "emulsion": np.array([random_emulsion(rng) for _ in range(count)], np.float32).reshape(count, 3),
        "gamma": np.exp(rng.normal(size=count) * 0.2).astype(np.float32),
        "contrast": _for_some(0.35, np.exp(rng.normal(size=count) * 0.3), 1.0, rng),
        "middle": rng.uniform(90, 165, count).astype(np.float32),
        "blur": _blur_kernels(_for_some(0.3, rng.uniform(0.4, 1.3, count), 0.0, rng)),
        "patches": _patches(_for_some(0.25, rng.uniform(0.03, 0.12, count), 0.0, rng), rng),
        "vignette": _for_some(0.12, rng.uniform(0.1, 0.5, count), 0.0, rng),
        "grain": _for_some(0.45, rng.uniform(1.5, 10, count), 0.0, rng),
        "grain_texture": rng.integers(TEXTURES, size=count).astype(np.int32),
        "grain_place": rng.integers(TEXTURE_PX, size=(count, 2)).astype(np.int32),
        "dust": _for_some(0.15, rng.uniform(0.5, 1, count), 0.0, rng),
        "dust_texture": rng.integers(TEXTURES, size=count).astype(np.int32),
        "dust_place": rng.integers(TEXTURE_PX, size=(count, 2)).astype(np.int32),
        "scratch": np.where(scratched, rng.choice([40.0, 225.0], count), -1).astype(np.float32),  # -1: none
        "scratch_x": rng.random(count).astype(np.float32),  # at the top, of the crop's width
        "scratch_slope": (rng.normal(size=count) * 0.06).astype(np.float32),
        "quality": _for_some(0.2, rng.uniform(30, 85, count), 0.0, rng),  # of JPEG; 0: none
    }


def _for_some(share: float, numbers: NDArray[np.float64], otherwise: float, rng: np.random.Generator) -> Floats:
    return np.where(rng.random(len(numbers)) < share, numbers, otherwise).astype(np.float32)


def _blur_kernels(sigmas: Floats) -> Floats:
    """Gaussians (n, 7), 1 in sum; a sigma of 0 changes nothing."""
    places = np.arange(BLUR_TAPS) - BLUR_TAPS // 2
    kernels = np.exp(-np.square(places) / (2 * np.square(np.maximum(sigmas, 1e-2))[:, None]))
    return np.asarray(kernels / kernels.sum(1, keepdims=True), np.float32)


def _patches(spreads: Floats, rng: np.random.Generator) -> Floats:
    """Factors about 1 (n, 4, 4), by which uneven paper changes the light."""
    return (1 + rng.normal(size=(len(spreads), PATCHES, PATCHES)) * spreads[:, None, None]).astype(np.float32)
