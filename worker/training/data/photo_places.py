"""What cross-fitting reads of photos: the inputs for each of their places, and the place's own mean colour."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.training.data.feature_maps import CELLS, Features
from worker.training.data.photo_cache import SHORT_SIDE_PX, PhotoCache
from worker.training.data.photos import square_lab

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

PLACES = CELLS * CELLS
CELL_PX = SHORT_SIDE_PX // CELLS


class Places(Protocol):
    """The places of photos: `count` of each photo, by their number from left to right and row by row."""

    @property
    def count(self) -> int: ...

    @property
    def width(self) -> int: ...

    def inputs(self, rows: Rows, places: NDArray[Any]) -> Floats:
        """What a model sees of places (m, p) of photos (m,): (m, p, width)."""

    def colours(self, rows: Rows, places: NDArray[Any]) -> Floats:
        """The mean a*, b* of these places (m, p, 2), CIE units."""


class PhotoPlaces:
    """16x16 places of each photo's centre square."""

    count = PLACES

    def __init__(self, cache: PhotoCache, features: Features) -> None:
        """`features` (n, 16, 16, k) are of the cache's photos, turned grey."""
        self._features = features
        self._light = np.empty((len(cache.names), PLACES, 2), np.float16)
        self.ab = np.empty((len(cache.names), PLACES, 2), np.float32)  # a*, b*, CIE units
        for row in range(len(cache.names)):
            lab = square_lab(cache.photo(row), SHORT_SIDE_PX).reshape(CELLS, CELL_PX, CELLS, CELL_PX, 3)
            self.ab[row] = lab[..., 1:].mean((1, 3)).reshape(PLACES, 2)
            lightness = lab[..., 0]
            mean_and_spread = [(lightness.mean((1, 3)) - 50) / 25, (lightness.std((1, 3)) - 6) / 6]
            self._light[row] = np.stack(mean_and_spread, axis=-1).reshape(PLACES, 2)

    @property
    def width(self) -> int:
        return int(self._features.shape[-1]) + 2 + 2

    def inputs(self, rows: Rows, places: NDArray[Any]) -> Floats:
        """Features, lightness and position of places (m, p) of photos (m,): (m, p, width)."""
        features = self._features[rows[:, None], places // CELLS, places % CELLS]
        light = self._light[rows[:, None], places]
        return np.concatenate([features, light, positions(places, CELLS)], axis=-1).astype(np.float32)

    def colours(self, rows: Rows, places: NDArray[Any]) -> Floats:
        """The mean a*, b* of these places (m, p, 2), CIE units."""
        return np.asarray(self.ab[rows[:, None], places])


def positions(places: NDArray[Any], side: int) -> Floats:
    """The row and column (..., 2), -1..1, of places (...) by number, in a photo of side x side places."""
    return np.asarray(np.stack([places // side, places % side], axis=-1) / (side - 1) * 2 - 1, np.float32)
