"""The yardstick for the whole network during training. The encoder does not change, so its output is computed once."""

from collections.abc import Callable
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from worker.model.network import AB_SCALE, halves
from worker.model.vivid_head import annealed_mean
from worker.training.evaluation.yardstick import ColourErrors, colour_errors, source_means, yardstick_rows
from worker.training.views.joined_batches import view_pixels
from worker.training.views.prepared import Prepared

Floats = NDArray[np.float32]

BATCH = 20
PHOTOS_A_SOURCE = 60


class JoinedValidation:
    """R2 and G of both heads at the map's places, the mean over sources; `embed` gives embeddings of L* (n, s, s)."""

    def __init__(
        self, prepared: Prepared, model: keras.Model, embed: Callable[[Floats], Floats], side_px: int,
        photos: int = PHOTOS_A_SOURCE,
    ) -> None:  # fmt: skip
        self._inside, self._view = prepared.inside(), prepared.views[0]
        self._rows = yardstick_rows(prepared.cache.sources, photos)
        encoder, _ = halves(model)
        self._seen = {}
        for name, rows in self._rows.items():
            pixels = [view_pixels(prepared.cache, int(row), 0, side_px)[0] for row in rows]
            lightness = np.stack(pixels)
            encoded = np.asarray(encoder.predict(lightness, batch_size=BATCH, verbose=0), np.float32)
            self._seen[name] = [encoded, embed(50 * (lightness[..., 0] + 1)), *self._view.batch(rows)[0]]

    def __call__(self, model: keras.Model) -> dict[str, float]:
        _, decoder = halves(model)
        paper: dict[str, dict[str, ColourErrors]] = {}
        vivid: dict[str, dict[str, ColourErrors]] = {}
        for name, rows in self._rows.items():
            truth, inside = self._view.batch(rows)[1], self._inside[rows]
            ab, logits = decoder.predict(self._seen[name], batch_size=BATCH, verbose=0)
            paper[name] = colour_errors(_at_places(ab * AB_SCALE, truth.shape[1]), truth, inside)
            expected = np.asarray(annealed_mean(logits, 1.0))
            vivid[name] = colour_errors(_at_places(expected, truth.shape[1]), truth, inside)
        by_source = {name: round(parts["all"].r2, 3) for name, parts in paper.items()}
        return source_means(paper) | {"vivid_r2": source_means(vivid)["r2"]} | by_source


def _at_places(ab: Any, places: int) -> Floats:
    return np.stack([cv2.resize(np.asarray(one), (places, places), interpolation=cv2.INTER_AREA) for one in ab])
