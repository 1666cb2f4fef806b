"""CIE L*a*b* and sRGB's curve as operations of Keras; `worker.colour.lab` has the same for arrays and says the
sources.
"""

from typing import Any

import numpy as np
from keras import ops

from worker.colour.lab import XYZ_RATIOS_OF_RGB

_DELTA = 6 / 29


def linear(coded: Any) -> Any:
    """sRGB-coded, 0..1, to linear light, 0..1."""
    return ops.where(coded <= 0.04045, coded / 12.92, ops.power((ops.maximum(coded, 0.0) + 0.055) / 1.055, 2.4))


def coded(light: Any) -> Any:
    """Linear light, 0..1, to sRGB-coded, 0..1."""
    return ops.where(light <= 0.0031308, light * 12.92, 1.055 * ops.power(ops.maximum(light, 1e-6), 1 / 2.4) - 0.055)


def lightness(luminance: Any) -> Any:
    """Y/Yn, 0..1, to L*, 0..100."""
    return 116 * _cube_root(luminance) - 16


def grey_of_lightness(light: Any) -> Any:
    """L*, 0..100, to the sRGB grey value of this lightness, 0..255."""
    f = (light + 16) / 116
    luminance = ops.where(f > _DELTA, f * f * f, 3 * _DELTA**2 * (f - 4 / 29))
    return 255 * coded(ops.clip(luminance, 0.0, 1.0))


def lab(light: Any) -> tuple[Any, Any]:
    """Linear R, G, B (..., 3), 0..1, to L* (...), 0..100, and a*, b* (..., 2)."""
    f = _cube_root(ops.matmul(light, np.asarray(XYZ_RATIOS_OF_RGB.T, np.float32)))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return 116 * y - 16, ops.stack([500 * (x - y), 200 * (y - z)], axis=-1)


def _cube_root(ratio: Any) -> Any:
    return ops.where(ratio > _DELTA**3, ops.power(ops.maximum(ratio, 1e-6), 1 / 3), ratio / (3 * _DELTA**2) + 4 / 29)
