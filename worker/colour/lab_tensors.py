"""CIE L*a*b* and sRGB's curve as operations of Keras, for models and training; `lab` has the same for arrays, with its
sources.

`lightness_to_grey` is part of each prediction, so its arithmetic stays as it is, to the bit. This module loads Keras.
"""

from typing import Any

import numpy as np
from keras import ops

from worker.colour.lab import XYZ_RATIOS_OF_RGB

_DELTA = 6 / 29  # CIE 15: below this, the tangent is used instead of the cube root


def srgb_to_linear(coded: Any) -> Any:
    """sRGB-coded, 0..1, to linear light, 0..1."""
    return ops.where(coded <= 0.04045, coded / 12.92, ops.power((ops.maximum(coded, 0.0) + 0.055) / 1.055, 2.4))


def linear_to_srgb(linear: Any) -> Any:
    """Linear light, 0..1, to sRGB-coded, 0..1."""
    # Near 0 the power has no finite slope; there the other branch is taken.
    bright = 1.055 * ops.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return ops.where(linear > 0.0031308, bright, 12.92 * linear)


def luminance_to_lightness(luminance: Any) -> Any:
    """Y/Yn, 0..1, to L*, 0..100."""
    return 116 * _cube_root(luminance) - 16


def lightness_to_grey(lightness: Any) -> Any:
    """L*, 0..100, to the sRGB grey value of this lightness, 0..255."""
    f = (lightness + 16.0) / 116.0
    luminance = ops.where(f > _DELTA, f**3, 3 * _DELTA**2 * (f - 4 / 29))
    return 255.0 * linear_to_srgb(ops.clip(luminance, 0.0, 1.0))


def linear_to_lab(linear: Any) -> tuple[Any, Any]:
    """Linear R, G, B (..., 3), 0..1, to L* (...), 0..100, and a*, b* (..., 2)."""
    f = _cube_root(ops.matmul(linear, np.asarray(XYZ_RATIOS_OF_RGB.T, np.float32)))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return 116 * y - 16, ops.stack([500 * (x - y), 200 * (y - z)], axis=-1)


def _cube_root(ratio: Any) -> Any:
    return ops.where(ratio > _DELTA**3, ops.power(ops.maximum(ratio, 1e-6), 1 / 3), ratio / (3 * _DELTA**2) + 4 / 29)
