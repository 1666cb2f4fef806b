"""Runs an embedding on many photos, without the rest of the model."""

import numpy as np
from numpy.typing import NDArray

from worker.model.backends.choice import backend
from worker.model.classifiers.embedding import Embedding
from worker.model.colorizer import on_device

Floats = NDArray[np.float32]

BATCH = 32


class Embedder:
    """An embedding for batches of 32 squares of `side_px`. It is compiled once; a shorter batch is padded."""

    def __init__(self, embedding: Embedding, side_px: int) -> None:
        self._shape = (BATCH, side_px, side_px, 1)
        classifier = on_device(embedding)
        self._embed = backend().compile(lambda squares: (classifier(squares),), [(self._shape, "float32")])

    def __call__(self, lightness: Floats) -> Floats:
        """L* (n, side, side), 0..100 -> square roots of class probabilities (n, 1000), 0..1."""
        parts = []
        for start in range(0, len(lightness), BATCH):
            part = lightness[start : start + BATCH]
            batch = np.zeros(self._shape, np.float32)
            batch[: len(part), ..., 0] = part
            parts.append(self._embed(batch)[0][: len(part)])
        return np.concatenate(parts)
