"""Measures a map that is trained together with its features: on the yardstick's photos as they are, and turned old."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from worker.training.evaluation.yardstick import (
    ColourErrors,
    colour_errors,
    means_and_sources,
    source_means,
)
from worker.training.fitting.upper_blocks import build_tuned_network
from worker.training.views.map_cache import place_colours
from worker.training.views.photo_views import photo_view
from worker.training.views.prepared import Prepared

Floats = NDArray[np.float32]

Photos = Mapping[str, tuple[Floats, Floats, Floats]]  # fine maps, a*, b*, how much of each place is in the photo

BATCH = 50


class TunedValidation:
    """The figures of a `build_tuned_network` at 224 px, the side that a worker uses, whatever it is trained at.

    The maps of stride 8 are computed once, because training leaves the blocks below as they are.
    """

    def __init__(
        self, prepared: Prepared, rows: Mapping[str, NDArray[np.intp]], compute_fine: Callable[[Floats], Floats],
        aged_view: int,
    ) -> None:  # fmt: skip
        self._model = build_tuned_network(prepared.layers)
        inside = prepared.inside()
        self._photos = {
            name: (*_maps_and_colours(prepared, of_source, 0, compute_fine), inside[of_source])
            for name, of_source in rows.items()
        }
        self._aged = {
            name: (*_maps_and_colours(prepared, of_source, aged_view, compute_fine), np.ones_like(inside[of_source]))
            for name, of_source in rows.items()
        }

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """R2 and G, the mean over sources and by source; `aged`: the R2 of photos turned old."""
        self._model.set_weights(model.get_weights())
        return means_and_sources(self._errors(self._photos)) | {"aged": source_means(self._errors(self._aged))["r2"]}

    def _errors(self, photos: Photos) -> dict[str, dict[str, ColourErrors]]:
        errors = {}
        for name, (fine, ab, inside) in photos.items():
            result = np.asarray(self._model.predict(fine, batch_size=BATCH, verbose=0)[0], np.float32)
            errors[name] = colour_errors(result, ab, inside)
        return errors


def _maps_and_colours(
    prepared: Prepared, rows: NDArray[np.intp], number: int, compute_fine: Callable[[Floats], Floats]
) -> tuple[Floats, Floats]:
    maps, colours = [], []
    for start in range(0, len(rows), BATCH):
        views = [photo_view(prepared.cache.pixels[row], int(row), number) for row in rows[start : start + BATCH]]
        maps.append(compute_fine(np.stack([view.grey for view in views])[..., None]))
        colours += [place_colours(view) for view in views]
    return np.concatenate(maps), np.stack(colours).astype(np.float32)
