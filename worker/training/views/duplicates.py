"""Finds photos that show the same as another one, by a small grey picture of each, also mirrored."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.training.views.square_cache import SquareCache

Floats = NDArray[np.float32]

SMALL_PX = 16
SAME_CORRELATION = 0.96  # of 16x16 grey values; photos of one kind of scene reach 0.9
BLOCK = 2048  # photos compared at a time


def fingerprint(rgb: Any, box: Any) -> Floats:
    """A letterboxed photo (side, side, 3) and its box -> its grey at 16x16 px, mean 0, length 1: (256,)."""
    left, top, width, height = (int(value) for value in box)
    grey = np.asarray(rgb)[top : top + height, left : left + width].mean(-1, dtype=np.float32)
    small = cv2.resize(grey, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)


def fingerprints(cache: SquareCache) -> Floats:
    """Of every photo of the cache (n, 256)."""
    return np.stack([fingerprint(cache.pixels[row], cache.boxes[row]) for row in range(len(cache.names))])


def shows_any(photos: Floats, other_photos: Floats) -> NDArray[np.bool_]:
    """Which of the photos (n,), by fingerprints (n, 256), show the same as one of the others (m, 256)."""
    mirrored = other_photos.reshape(-1, SMALL_PX, SMALL_PX)[:, :, ::-1].reshape(-1, SMALL_PX**2)
    both = np.concatenate([other_photos, mirrored]).T
    parts = [(photos[k : k + BLOCK] @ both).max(1) > SAME_CORRELATION for k in range(0, len(photos), BLOCK)]
    return np.concatenate(parts)
