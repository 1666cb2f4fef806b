"""Converts L*, a*, b* to colours that sRGB can show. Lightness and hue stay; chroma is reduced where necessary."""

import itertools
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import lab_to_linear, lightness_to_luminance

Floats = NDArray[np.float32]

_LIGHTNESSES, _HUES = 512, 720  # steps of the table: 0.2 L*, half a degree
_MOST_CHROMA = 135.0  # sRGB's blue has 134
_HALVINGS = 14
_LONGEST = 1 << 14  # pixels of a side; OpenCV maps at most 32 766 at once
_OPENCV_BLOCK = 1024  # values that OpenCV's functions of arrays work on at once
_ROUNDING = 1e-6  # the largest rounding error of a grey in float32


def lab_to_linear_in_gamut(lightness: Floats, a: Floats, b: Floats) -> Floats:
    """Linear R, G, B (3, rows, columns), 0..1, of L*, a*, b*, each float32 (rows, columns).

    Colours that sRGB can't show lose chroma. The table of the largest chroma has enough steps for hue but not for
    lightness. So a colour that is still outside is mixed with the grey of its luminance, which keeps L* exact.
    """
    # cv2.magnitude is not used, because it rounds the last pixels of a strip differently from the others.
    share = _largest_chroma_of(lightness, a, b) / np.maximum(np.sqrt(a * a + b * b), _ROUNDING)
    np.minimum(share, 1, out=share)
    rgb = lab_to_linear(lightness, a * share, b * share)
    grey = lightness_to_luminance(lightness)
    below = grey / np.maximum(grey - rgb.min(axis=0), _ROUNDING)
    above = (1 - grey) / np.maximum(rgb.max(axis=0) - grey, _ROUNDING)
    share = np.minimum(np.minimum(below, above), 1)
    rgb -= grey
    rgb *= share
    rgb += grey
    return np.clip(rgb, 0, 1, out=rgb)


def lab_to_linear_where_it_fits(lightness: Floats, a: Floats, b: Floats) -> Floats:
    """As `lab_to_linear_in_gamut`, but many times as fast if sRGB can show most of the colours."""
    rgb = lab_to_linear(lightness, a, b)
    # These are places in a flat array. With a mask, NumPy would search for the places again for each array.
    outside = np.flatnonzero((rgb.min(axis=0) < -_ROUNDING) | (rgb.max(axis=0) > 1 + _ROUNDING))
    count = len(outside)
    if count:
        # OpenCV rounds the last few values of a block differently from the others. Here these are padding.
        padded = np.zeros((3, 1, -(-count // _OPENCV_BLOCK) * _OPENCV_BLOCK), np.float32)
        for plane, values in zip(padded, (lightness, a, b), strict=True):
            plane[0, :count] = np.take(values, outside)
        for plane, values in zip(rgb, lab_to_linear_in_gamut(*padded)[:, 0, :count], strict=True):
            np.put(plane, outside, values)
    return np.clip(rgb, 0, 1, out=rgb)


def _largest_chroma_of(lightness: Floats, a: Floats, b: Floats) -> Floats:
    """The chroma that sRGB can show at each pixel's lightness and hue."""
    hue = cv2.phase(a, b, angleInDegrees=True)
    hue *= _HUES / 360
    row = lightness * (_LIGHTNESSES / 100)
    chroma: Floats = np.empty_like(lightness)
    places = (range(0, side, _LONGEST) for side in hue.shape)
    for top, left in itertools.product(*places):
        part = np.s_[top : top + _LONGEST, left : left + _LONGEST]
        chroma[part] = cv2.remap(
            _largest_chroma(), hue[part], row[part], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return chroma


@cache
def _largest_chroma() -> Floats:
    """The table of the largest chroma, by lightness 0..100 and hue 0..360 degrees: (_LIGHTNESSES + 1, _HUES + 1)."""
    lightness = np.linspace(0, 100, _LIGHTNESSES + 1, dtype=np.float32)[:, None]
    hue = np.linspace(0, 2 * np.pi, _HUES + 1, dtype=np.float32)[None]
    inside = np.zeros((_LIGHTNESSES + 1, _HUES + 1), np.float32)
    step = _MOST_CHROMA
    for _ in range(_HALVINGS):
        step /= 2
        chroma = inside + step
        rgb = lab_to_linear(lightness, chroma * np.cos(hue), chroma * np.sin(hue))
        inside = np.where((rgb.min(axis=0) >= 0) & (rgb.max(axis=0) <= 1), chroma, inside)
    return inside
