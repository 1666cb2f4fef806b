"""Makes a colour photo look like an old grey one: emulsions, tone, grain, blur, dust, uneven paper.

Until the 1930s, films and plates recorded blue, and little or no red. So the grey of a real scan is not L*. Here the
grey comes from random weights of linear red, green and blue, from blue-only to panchromatic.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import linear_to_srgb, luminance_to_lightness, srgb_to_linear

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

PANCHROMATIC = np.array([0.2126, 0.7152, 0.0722], np.float32)  # what L* sees of linear red, green, blue
ORTHOCHROMATIC = np.array([0.02, 0.38, 0.60], np.float32)  # a plate that is blind to red
BLUE_ONLY = np.array([0.0, 0.05, 0.95], np.float32)  # an unsensitized plate
LARGEST_SPECK_PX = 2  # radius of dust
_LINEAR = srgb_to_linear(np.arange(256, dtype=np.float32) / 255)  # of each 8-bit value


def grey_of(rgb: Pixels, weights: Floats = PANCHROMATIC) -> Floats:
    """RGB (height, width, 3), 0..255 -> the sRGB grey (height, width), 0..255, that such an emulsion records.

    `weights` are of linear red, green and blue, 1 in sum.
    """
    return np.asarray(255 * linear_to_srgb(np.clip(_LINEAR[rgb] @ weights, 0, 1)), np.float32)


def lightness_of(grey: Floats) -> Floats:
    """sRGB grey, 0..255 -> L*, 0..100, of the same shape."""
    return np.asarray(luminance_to_lightness(srgb_to_linear(np.clip(grey / 255, 0, 1))), np.float32)


def random_emulsion(rng: np.random.Generator) -> Floats:
    """Random weights of linear red, green and blue: for half of the photos those of L*, for the others anything down to
    blue-only.
    """
    if rng.random() < 0.5:
        return PANCHROMATIC
    plate = ORTHOCHROMATIC if rng.random() < 0.7 else BLUE_ONLY
    share = rng.random() ** 1.5
    weights = (1 - share) * PANCHROMATIC + share * plate
    weights = weights * np.exp(rng.normal(size=3) * 0.2)
    return np.asarray(weights / weights.sum(), np.float32)


def random_look(grey: Floats, rng: np.random.Generator) -> Floats:
    """Grey (height, width), 0..255 -> the same like an old print or negative. Each fault has its own probability."""
    grey = np.asarray(255 * np.clip(grey / 255, 0, 1) ** np.exp(rng.normal() * 0.2), np.float32)  # tone
    if rng.random() < 0.35:
        grey = _faded(grey, rng)
    if rng.random() < 0.3:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.4, 1.3))), np.float32)
    if rng.random() < 0.25:
        grey = np.asarray(grey * _uneven(grey.shape, rng), np.float32)
    if rng.random() < 0.45:
        grey = grey + _grain(grey.shape, rng)
    if rng.random() < 0.15:
        grey = _dusty(grey, rng)
    if rng.random() < 0.2:
        grey = _compressed(grey, int(rng.integers(30, 85)))
    return np.asarray(np.clip(grey, 0, 255), np.float32)


def _faded(grey: Floats, rng: np.random.Generator) -> Floats:
    """Lower or higher contrast around a random middle."""
    contrast = np.exp(rng.normal() * 0.3)
    middle = rng.uniform(90, 165)
    return np.asarray((grey - middle) * contrast + middle, np.float32)


def _uneven(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Uneven paper or a vignette: a smooth factor about 1."""
    patches = 1 + rng.normal(size=(4, 4)).astype(np.float32) * rng.uniform(0.03, 0.12)
    return np.asarray(cv2.resize(patches, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(shape, np.float32)
    coarseness = rng.uniform(0, 1.2)
    if coarseness > 0.3:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), float(coarseness)), np.float32)
        noise = noise / noise.std()
    return np.asarray(noise * rng.uniform(1.5, 10), np.float32)


def _dusty(grey: Floats, rng: np.random.Generator) -> Floats:
    """A few specks and scratches, white or black."""
    grey = grey.copy()
    height, width = grey.shape
    for _ in range(int(rng.integers(3, 25))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(grey, (x, y), int(rng.integers(1, LARGEST_SPECK_PX + 1)), float(rng.choice([30, 235])), -1)
    if rng.random() < 0.4:
        x = int(rng.integers(width))
        cv2.line(grey, (x, 0), (int(x + rng.normal() * 6), height), float(rng.choice([40, 225])), 1)
    return grey


def _compressed(grey: Floats, quality: int) -> Floats:
    done, data = cv2.imencode(".jpg", np.clip(grey, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32) if done else grey
