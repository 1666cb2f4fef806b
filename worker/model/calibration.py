"""Pictures with which the ranges of a network in 8 bits are measured.

They are drawn, so that no photograph has to come with the program: surfaces with the spectrum of photographs, in front
of each other, with soft edges. Ranges from eight of them give colours that differ by 0.06 CIE units on average from
those of the network in float32, as do ranges from photographs (docs/performance.md).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.model.packing import SIDE_PX

Floats = NDArray[np.float32]

_SEED = 1
_SHAPES = 25  # at most, in a picture


def calibration_lightness(count: int) -> Floats:
    """`count` pictures, L* (count, 400, 400), 0..100; always the same."""
    dice = np.random.default_rng(_SEED)
    return np.stack([_picture(dice) for _ in range(count)])


def _picture(dice: np.random.Generator) -> Floats:
    lightness = dice.uniform(30, 70) + dice.uniform(5, 25) * _surface(dice, dice.uniform(0.6, 1.6))
    for _ in range(dice.integers(0, _SHAPES)):
        coverage = _shape(dice)
        inside = dice.uniform(0, 100) + dice.uniform(0, 15) * _surface(dice, dice.uniform(0.8, 2.0))
        lightness = lightness * (1 - coverage) + inside * coverage
    return np.asarray(np.clip(lightness, 0, 100), np.float32)


def _surface(dice: np.random.Generator, slope: float) -> NDArray[np.float64]:
    """Noise (400, 400) with mean 0 and deviation 1, whose amplitude falls with the frequency to the power of `slope`;
    in photographs it falls with a slope of about 1 (Field, 1987).
    """
    across = np.fft.fftfreq(SIDE_PX)
    frequency = np.hypot(across[:, None], across[None])
    frequency[0, 0] = 1 / SIDE_PX
    spectrum = dice.normal(size=frequency.shape) + 1j * dice.normal(size=frequency.shape)
    noise = np.fft.ifft2(spectrum / frequency**slope).real
    return np.asarray((noise - noise.mean()) / noise.std())


def _shape(dice: np.random.Generator) -> NDArray[np.float32]:
    """How much of each place (400, 400) a polygon or an ellipse covers, 0..1."""
    covered = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    centre = dice.integers(-50, SIDE_PX + 50, 2)
    if dice.random() < 0.5:
        corners = centre + dice.normal(size=(dice.integers(3, 8), 2)) * dice.uniform(10, 120)
        cv2.fillPoly(covered, [cv2.convexHull(corners.astype(np.int32))], (255,))
    else:
        axes = [int(length) for length in dice.integers(5, 120, 2)]
        cv2.ellipse(covered, [int(at) for at in centre], axes, dice.uniform(0, 180), 0, 360, (255,), -1)
    soft = np.asarray(cv2.GaussianBlur(covered, (0, 0), dice.uniform(0.5, 3)), np.float32)
    return soft * np.float32(1 / 255)
