"""Everything that training with a map reads, made once in a working folder: squares, features of views, and which
photos are held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.model.classifiers.features import LAYERS, class_logits_of, feature_maps
from worker.training.augmentation.compiled import compiled
from worker.training.evaluation.yardstick import HELD_OUT_SOURCES, places_inside, yardstick_rows
from worker.training.views.duplicates import fingerprints, shows_any
from worker.training.views.lite2_importer import Layers, read_lite2
from worker.training.views.map_cache import PLACES, ViewMaps, build_view, place_colours
from worker.training.views.photo_views import photo_view, view_name
from worker.training.views.sampling import SourceSampler
from worker.training.views.square_cache import SquareCache, build_square_cache

Floats = NDArray[np.float32]

COMPUTED_IN = "bfloat16"
MEAN_OF_PHOTOS = 3000  # drawn as training draws them


@dataclass(frozen=True)
class Prepared:
    """Photos, their features, and which of them are trained on."""

    cache: SquareCache
    views: Sequence[ViewMaps]
    trained_on: NDArray[np.bool_]  # (n,)
    layers: Layers  # the feature network's, with the class logits'

    @property
    def sampler(self) -> SourceSampler:
        return SourceSampler.of(self.cache.sources, self.trained_on)

    @property
    def yardstick(self) -> dict[str, NDArray[np.intp]]:
        return yardstick_rows(self.cache.sources)

    def inside(self) -> Floats:
        """How much of each place of the fine map (n, 28, 28) lies in the photo."""
        return places_inside(self.cache.boxes, self.cache.side_px, PLACES)

    def mean_ab(self) -> tuple[float, float]:
        """The mean a*, b* of the photos as they are drawn, CIE units."""
        rows = np.sort(self.sampler.draw(MEAN_OF_PHOTOS, np.random.default_rng(0)))
        a, b = self.colours(rows).mean((0, 1, 2))
        return float(a), float(b)

    def colours(self, rows: NDArray[np.intp]) -> Floats:
        """a*, b* of these photos as they are, at the places of the fine map (n, 28, 28, 2), CIE units."""
        if self.views:
            return self.views[0].batch(rows)[1]
        return np.stack([place_colours(photo_view(self.cache.pixels[row], row, 0)) for row in rows]).astype(np.float32)

    def photos_by_source(self) -> dict[str, int]:
        """Of those that are trained on."""
        names, counts = np.unique(self.cache.sources[self.trained_on], return_counts=True)
        return {str(name): int(count) for name, count in zip(names, counts, strict=True)}

    def class_logits(self, coarse: Any) -> Floats:
        """The teacher's logits (n, 1000) of coarse maps (n, 7, 7, 352)."""
        return np.asarray(class_logits_of(ops.cast(coarse, "float32"), self.layers[LAYERS:]))


def prepare(tars: Sequence[Path], wheel: Path, views: Sequence[int], folder: Path) -> Prepared:
    """Makes, or opens, what training reads in `folder`. Raises TrainingError for photos or a wheel it can't read."""
    layers = read_lite2(wheel)
    cache = build_square_cache(tars, folder / "squares")
    compute = _features(layers)
    maps = [build_view(cache, number, folder / view_name(number), compute) for number in views]
    return Prepared(cache, maps, _trained_on(cache, folder / "trained-on.npy"), layers)


def _features(layers: Layers) -> Any:
    weights = [(ops.cast(kernel, COMPUTED_IN), ops.cast(bias, COMPUTED_IN)) for kernel, bias in layers[:LAYERS]]
    compute = compiled(lambda grey, weights: feature_maps(ops.cast(grey, COMPUTED_IN), weights))
    return lambda grey: tuple(np.asarray(one) for one in compute(ops.convert_to_tensor(grey), weights))


def _trained_on(cache: SquareCache, path: Path) -> NDArray[np.bool_]:
    """All photos except those of held-out sources and those that show the same as one of these."""
    if not path.is_file():
        held = np.isin(cache.sources, list(HELD_OUT_SOURCES))
        prints = fingerprints(cache)
        np.save(path, ~held & ~shows_any(prints, prints[held]))
    return np.asarray(np.load(path), bool)
