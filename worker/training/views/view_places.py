"""What cross-fitting reads of cached views: the features of each place, and its mean colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.model.classifiers.features import MAP_CHANNELS
from worker.training.data.photo_places import positions
from worker.training.views.map_cache import PLACES, ViewMaps

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

SIDE = PLACES // 2  # places a side: those of the middle map
SAMPLE = 256  # photos from which the features' means and spreads are computed


class ViewPlaces:
    """14x14 places of every view of every photo; photo r in view v is row v * photos + r.

    A prediction for a view comes from this view's own features, so it fits however the view was cropped and turned.
    """

    count = SIDE * SIDE
    width = sum(MAP_CHANNELS) + 2

    def __init__(self, views: Sequence[ViewMaps], rows: Rows) -> None:
        """`rows`: photos that are trained on; features are scaled by a sample of these."""
        self._views, self._photos = views, len(views[0].ab)
        sample = np.random.default_rng(0).permutation(rows)[:SAMPLE]
        features = np.stack([self._features(int(row)) for row in sample])
        self._mean, self._spread = features.mean((0, 1)), features.std((0, 1)) + np.float32(1e-6)

    def inputs(self, rows: Rows, places: NDArray[Any]) -> Floats:
        """Features and position of places (m, p) of rows (m,): (m, p, width)."""
        features = np.stack([self._features(int(row))[numbers] for row, numbers in zip(rows, places, strict=True)])
        return np.concatenate([(features - self._mean) / self._spread, positions(places, SIDE)], axis=-1)

    def colours(self, rows: Rows, places: NDArray[Any]) -> Floats:
        """The mean a*, b* of these places (m, p, 2), CIE units."""
        return np.stack([self._colours(int(row))[numbers] for row, numbers in zip(rows, places, strict=True)])

    def _features(self, row: int) -> Floats:
        """The three maps of a photo in a view at 14x14 places: (196, channels)."""
        view, photo = divmod(row, self._photos)
        fine, middle, coarse = (np.asarray(one[photo], np.float32) for one in self._views[view].maps)
        maps = [_halved(fine), middle, coarse.repeat(2, axis=0).repeat(2, axis=1)]
        return np.concatenate(maps, axis=-1).reshape(self.count, -1)

    def _colours(self, row: int) -> Floats:
        view, photo = divmod(row, self._photos)
        return _halved(np.asarray(self._views[view].ab[photo], np.float32)).reshape(self.count, 2)


def _halved(values: Floats) -> Floats:
    """(28, 28, channels) -> their means at half the side, (14, 14, channels)."""
    return np.asarray(values.reshape(SIDE, 2, SIDE, 2, -1).mean((1, 3)), np.float32)
