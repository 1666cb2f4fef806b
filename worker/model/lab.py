"""sRGB <-> CIE L*a*b* (D65, 2 degree observer), in NumPy.

Formulas: IEC 61966-2-1 (sRGB), CIE 15:2004 (L*a*b*). No TensorFlow here: Celery's children import this file.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

# Linear sRGB -> XYZ, each row divided by the D65 white point, so that white is (1, 1, 1).
_WHITE = np.array([0.95047, 1.0, 1.08883])
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
RGB_TO_WHITED_XYZ: Floats = (_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)
WHITED_XYZ_TO_RGB: Floats = np.linalg.inv(_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)
DELTA = 6.0 / 29.0  # below it, CIE's cube root is a straight line


def rgb_to_lab(rgb: ArrayLike) -> Floats:
    """sRGB (..., 3), 0..1 -> L*, a*, b* (..., 3): L* 0..100, a* and b* about -108..99."""
    xyz = srgb_to_linear(rgb) @ RGB_TO_WHITED_XYZ.T
    f = np.where(xyz > DELTA**3, np.cbrt(xyz), xyz / (3 * DELTA**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def lab_to_rgb(lab: ArrayLike) -> Floats:
    """L*, a*, b* (..., 3) -> sRGB (..., 3), clipped to 0..1.

    Clipping a colour outside the gamut shifts its L*: for scans that must keep it, reduce the chroma before.
    """
    return linear_to_srgb(np.clip(lab_to_linear(lab), 0, 1))


def lab_to_linear(lab: ArrayLike) -> Floats:
    """L*, a*, b* (..., 3) -> linear sRGB (..., 3), not clipped: outside 0..1 where the gamut ends."""
    values = np.asarray(lab, np.float32)
    y = (values[..., 0] + 16) / 116
    f = np.stack([y + values[..., 1] / 500, y, y - values[..., 2] / 200], axis=-1)
    xyz = np.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29))
    return np.asarray(xyz @ WHITED_XYZ_TO_RGB.T, np.float32)


def srgb_to_linear(rgb: ArrayLike) -> Floats:
    """sRGB values, 0..1 -> linear light, 0..1, of the same shape."""
    values = np.asarray(rgb, np.float32)
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92).astype(np.float32)


def linear_to_srgb(linear: ArrayLike) -> Floats:
    """Linear light, 0..1 -> sRGB values, 0..1, of the same shape."""
    values = np.maximum(np.asarray(linear, np.float32), 0)
    return np.where(values > 0.0031308, 1.055 * values ** (1 / 2.4) - 0.055, values * 12.92).astype(np.float32)


def lightness_to_grey(lightness: ArrayLike) -> Floats:
    """L*, 0..100 -> the sRGB grey value of that lightness, 0..255, of the same shape.

    It is what the embedding sees, in training and after: the photo turned grey, as a grey scan would hold it.
    """
    f = (np.asarray(lightness, np.float32) + 16) / 116
    luminance = np.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29))
    return 255 * linear_to_srgb(np.clip(luminance, 0, 1))
