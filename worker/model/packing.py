"""Packs lightness for the device and colours from it: 16 bits a value, in the sizes that the network uses.

This module loads no backend, because children use it too.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
PackedLightness: TypeAlias = NDArray[np.uint16]  # L* x LIGHTNESS_STEPS
PackedAb: TypeAlias = NDArray[np.int16]  # a*, b* x AB_STEPS

SIDE_PX = 400  # of a scan's model input, and of the colours from which its output is composed
LIGHTNESS_STEPS = 65_535 / 100  # a step is 0.0015
AB_STEPS = 32_767 / 128  # a step is 0.004; values above 128 are clipped
NOT_FINITE = -32_768  # stands for a colour that is not a number


def pack_lightness(lightness: Floats, side_px: int) -> PackedLightness:
    """L* (..., side, side), finite, 0..100 -> (..., side_px, side_px). It is reduced by averaging."""
    if lightness.shape[-1] != side_px:
        scans = lightness.reshape(-1, *lightness.shape[-2:])
        smaller = [cv2.resize(scan, (side_px, side_px), interpolation=cv2.INTER_AREA) for scan in scans]
        lightness = np.asarray(smaller, np.float32).reshape(*lightness.shape[:-2], side_px, side_px)
    return np.rint(lightness.clip(0, 100) * np.float32(LIGHTNESS_STEPS)).astype(np.uint16)


def unpack_lightness(packed: PackedLightness) -> Floats:
    return packed * np.float32(1 / LIGHTNESS_STEPS)


def pack_ab(ab: Floats) -> PackedAb:
    """a*, b* (..., 2), CIE units -> int16."""
    steps = np.rint(ab * np.float32(AB_STEPS)).clip(-32_767, 32_767)
    return np.where(np.isfinite(steps), steps, NOT_FINITE).astype(np.int16)


def unpack_ab(packed: PackedAb, side_px: int = SIDE_PX) -> Floats:
    """One scan's a*, b* (side, side, 2) -> (side_px, side_px, 2), CIE units, bilinearly."""
    ab = packed * np.float32(1 / AB_STEPS)
    if ab.shape[0] == side_px:
        return ab
    return np.asarray(cv2.resize(ab, (side_px, side_px), interpolation=cv2.INTER_LINEAR), np.float32)
