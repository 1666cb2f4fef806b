"""CIE L*a*b*, luminance, linear light and sRGB, for arrays.

L* is 0..100 and a*, b* are about -128..127, relative to sRGB's own white (D65), as CIE 15 defines them. Linear light
and sRGB-coded values are 0..1. Functions keep the float type of their arguments. This module must not load TensorFlow,
because Celery's children import it.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]

# IEC 61966-2-1: linear sRGB to XYZ for D65, rows X, Y, Z.
_XYZ_OF_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _XYZ_OF_RGB.sum(axis=1)
XYZ_RATIOS_OF_RGB = _XYZ_OF_RGB / _WHITE[:, None]  # (3, 3): X/Xn, Y/Yn, Z/Zn of linear R, G, B
LUMINANCE = XYZ_RATIOS_OF_RGB[1]  # (3,): weights of linear R, G, B; their sum is 1
_RGB_OF_XYZ = np.linalg.inv(_XYZ_OF_RGB) * _WHITE  # from X/Xn, Y/Yn, Z/Zn, so that R = G = B for greys

_ROOT_STEPS = 1 << 18  # of the square root of linear light: at most 0.36 levels of 16 bits each

_DELTA = 6 / 29  # CIE 15: below this, the tangent is used instead of the cube root


def rgb_to_lab(rgb: ArrayLike) -> NDArray[np.float32]:
    """sRGB (..., 3), 0..1, to L*, a*, b* (..., 3): L* 0..100, a* and b* about -108..99."""
    linear = srgb_to_linear(np.asarray(rgb, np.float32))
    of_white = linear @ XYZ_RATIOS_OF_RGB.T.astype(np.float32)  # (..., 3): X/Xn, Y/Yn, Z/Zn
    x, y, z = np.moveaxis(_cube_root(of_white), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def lab_to_rgb(lab: ArrayLike) -> NDArray[np.float32]:
    """L*, a*, b* (..., 3) to sRGB (..., 3), clipped to 0..1.

    Clipping a colour outside the gamut changes its L*; `worker.colour.gamut` reduces its chroma instead.
    """
    linear = lab_to_linear(*np.moveaxis(np.asarray(lab, np.float32), -1, 0))
    return linear_to_srgb(np.moveaxis(linear, 0, -1).clip(0, 1)).astype(np.float32)


def lightness_to_grey(lightness: ArrayLike) -> NDArray[np.float32]:
    """L*, 0..100, to the sRGB grey value of this lightness, 0..255, in the same shape.

    This is what the embedding sees, in training and later: the photo as a grey scan.
    """
    luminance = lightness_to_luminance(np.asarray(lightness, np.float32))
    return (255 * linear_to_srgb(np.clip(luminance, 0, 1))).astype(np.float32)


def srgb_to_linear(coded: Floats) -> Floats:
    """IEC 61966-2-1's curve: sRGB-coded 0..1 to linear light 0..1."""
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Floats) -> Floats:
    """Linear light 0..1 to sRGB-coded 0..1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def linear_to_srgb16(linear: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Linear light 0..1 -> sRGB levels of 16 bits. The error is at most 0.7 of a level, and 0 for light that is exactly
    a level's.
    """
    steps = np.sqrt(linear)
    steps *= _ROOT_STEPS
    np.rint(steps, out=steps)
    return np.take(_levels_of_roots(), steps.astype(np.intp), mode="clip")


@cache
def _levels_of_roots() -> NDArray[np.uint16]:
    """sRGB levels of 16 bits by the square root of linear light: by light itself, dark tones would be too coarse."""
    linear = (np.arange(_ROOT_STEPS + 1) / _ROOT_STEPS) ** 2
    return np.rint(linear_to_srgb(linear) * 65535).astype(np.uint16)


def luminance_to_lightness(luminance: Floats) -> Floats:
    """Y/Yn, 0..1, to L*, 0..100."""
    return 116 * _cube_root(luminance) - 16


def lightness_to_luminance(lightness: Floats) -> Floats:
    """L*, 0..100, to Y/Yn, 0..1."""
    return _uncube((lightness + 16) / 116)


def grey_lightness(bit_depth: int) -> NDArray[np.float32]:
    """L* of every level of sRGB grey, 0..100: (256,) at 8 bits, (65536,) at 16."""
    levels = np.linspace(0, 1, 1 << bit_depth)
    return luminance_to_lightness(srgb_to_linear(levels)).astype(np.float32)


def lab_to_linear(lightness: Floats, a: Floats, b: Floats) -> Floats:
    """Linear R, G, B (3, ...) of L*, a*, b* (...); below 0 or above 1 if sRGB can't show the colour."""
    y = (lightness + 16) / 116
    xyz = _uncube(y + a / 500), _uncube(y), _uncube(y - b / 200)
    matrix = _RGB_OF_XYZ.astype(lightness.dtype)
    shape = np.broadcast_shapes(*(values.shape for values in xyz))
    rgb, part = np.empty((3, *shape), lightness.dtype), np.empty(shape, lightness.dtype)
    for number, factors in enumerate(matrix):
        channel = rgb[number, ...]
        np.multiply(xyz[0], factors[0], out=channel)
        for values, factor in zip(xyz[1:], factors[1:], strict=True):
            channel += np.multiply(values, factor, out=part)
    return rgb


def _cube_root(ratio: Floats) -> Floats:
    """CIE 15's f of X/Xn, Y/Yn or Z/Zn: the cube root; below (6/29)^3, its tangent at this point."""
    return np.where(ratio > _DELTA**3, np.cbrt(ratio), ratio / (3 * _DELTA**2) + 4 / 29)


def _uncube(f: Floats) -> Floats:
    """The inverse of CIE 15's f: the cube; below 6/29, its tangent at this point."""
    above: Floats = np.maximum(f, _DELTA)
    cube = above * above
    cube *= above
    below: Floats = np.minimum(f, _DELTA)
    below -= _DELTA
    below *= 3 * _DELTA**2
    below += cube
    return below
