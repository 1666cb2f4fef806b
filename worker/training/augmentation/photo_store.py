"""The photos of the cache as the device reads them: each with its halves and quarters, in one row of pixels.

On a GPU all photos lie in its memory. Otherwise the rows of a step are read from the memory-mapped cache.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.training.augmentation.draws import LARGEST_LEVEL
from worker.training.data.photo_cache import PhotoCache

Pixels = NDArray[np.uint8]

LARGEST_BYTES_ON_DEVICE = 24 * 10**9


class PhotoStore:
    """Rows of pixels (photos, pixels, 3), 0..255: each has the photo, its half and its quarter, one after the other."""

    def __init__(self, cache: PhotoCache, on_device: bool | None = None) -> None:
        """`on_device`: without it, photos go into a GPU's memory if they fit into 24 GB of it."""
        self._cache = cache
        self.shapes = cache.shapes.astype(np.int32)
        self._pixels = int(sum((self.shapes >> level).prod(1) for level in range(LARGEST_LEVEL + 1)).max())
        if on_device is None:
            on_device = _has_gpu() and len(self.shapes) * self._pixels * 3 <= LARGEST_BYTES_ON_DEVICE
        every_level = np.full(len(self.shapes), LARGEST_LEVEL)
        self._device_rows = (
            ops.convert_to_tensor(self._host_rows(np.arange(len(self.shapes)), every_level)) if on_device else None
        )

    def rows(self, rows: NDArray[np.intp], levels: NDArray[np.int32]) -> Any:
        """Photos (n, pixels, 3), each with at least the level (n,) at which its crop reads it."""
        if self._device_rows is not None:
            return ops.take(self._device_rows, rows.astype(np.int32), axis=0)
        return self._host_rows(rows, levels)

    def _host_rows(self, rows: NDArray[np.intp], levels: NDArray[np.int32] | NDArray[np.int64]) -> Pixels:
        packed = np.zeros((len(rows), self._pixels, 3), np.uint8)
        for target, row, last in zip(packed, rows, levels, strict=True):
            photo, begin = self._cache.photo(int(row)), 0
            for level in range(int(last) + 1):
                photo = photo if level == 0 else halved(photo)
                count = photo.shape[0] * photo.shape[1]
                target[begin : begin + count] = photo.reshape(count, 3)
                begin += count
        return packed


def halved(photo: Pixels) -> Pixels:
    """(height, width, 3) -> the mean of each 2x2 px (height // 2, width // 2, 3)."""
    height, width = photo.shape[0] // 2 * 2, photo.shape[1] // 2 * 2
    wide = photo[:height, :width].astype(np.uint16)
    sums = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)


def _has_gpu() -> bool:
    """Whether Keras' backend computes on one."""
    return any("gpu" in name.lower() or "cuda" in name.lower() for name in keras.distribution.list_devices())
