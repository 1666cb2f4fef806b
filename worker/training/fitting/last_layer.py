"""Fits the embedding's last layer again by least squares, after its features are trained.

Gradient descent needs many epochs for a dense layer of 1536 x 1000 weights. Ridge regression on the finished features
finds the best weights at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from worker.training.data.class_logits import Logits, probabilities
from worker.training.data.photo_cache import PhotoCache
from worker.training.fitting.distillation import predict_logits, whole_photo

Floats = NDArray[np.float32]

STRENGTHS = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # of the ridge, for features of unit variance
TEMPERATURES = (0.5, 0.65, 0.8, 1.0, 1.25, 1.5)


@dataclass(frozen=True)
class Refit:
    """What was chosen on the validation photos, and the cross-entropy there (nats) before and after."""

    strength: float
    temperature: float
    before: float
    after: float

    def __str__(self) -> str:
        chosen = f"a ridge of {self.strength:g} and a temperature of {self.temperature:g}"
        return f"cross-entropy {self.before:.4f} nats, {self.after:.4f} when fitted again with {chosen}"


def refit_last_layer(model: keras.Model, cache: PhotoCache, teacher: Logits, side_px: int) -> Refit:
    """Sets the layer `predictions` of a trained classifier and its temperature, if this is better."""
    pooled = keras.Model(model.input, model.get_layer("avg_pool").output)
    train, hold = (_features(pooled, cache, rows, side_px) for rows in (cache.training, cache.validation))
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-3
    train, hold = (train - mean) / spread, (hold - mean) / spread
    targets = teacher[cache.training].astype(np.float32)
    targets -= targets.mean(axis=1, keepdims=True)
    target = probabilities(teacher[cache.validation])
    last = model.get_layer("predictions")
    kernel, bias = (np.asarray(value, np.float32) for value in last.get_weights())
    before = cross_entropy(target, (hold * spread + mean) @ kernel + bias)
    level = targets.mean(axis=0)
    tried = [(_ridge(train, targets - level, strength), strength) for strength in STRENGTHS]
    after, temperature, solved, strength = min(
        ((cross_entropy(target, (hold @ solved + level) / t), t, solved, strength)
         for solved, strength in tried for t in TEMPERATURES),
        key=lambda refitted: refitted[0],
    )  # fmt: skip
    if after < before:
        scaled = solved / spread[:, None] / temperature
        last.set_weights([scaled, level / temperature - mean @ scaled])
    return Refit(strength, temperature, before, after)


def cross_entropy(targets: Floats, logits: Floats) -> float:
    """Mean over photos, nats: wanted probabilities (n, 1000) against logits (n, 1000)."""
    return float(-(targets * np.log(probabilities(logits) + 1e-9)).sum(axis=1).mean())


def _ridge(features: Floats, targets: Floats, strength: float) -> Floats:
    gram = features.T @ features + strength * np.eye(features.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(gram, features.T @ targets), np.float32)


def _features(pooled: keras.Model, cache: PhotoCache, rows: Sequence[int] | NDArray[np.intp], side_px: int) -> Floats:
    """Pooled features (n, 1536); a few hundred photos at a time, so that memory stays bounded."""
    parts = [
        predict_logits(pooled, np.stack([whole_photo(cache.photo(int(row)), side_px) for row in rows[k : k + 256]]))
        for k in range(0, len(rows), 256)
    ]
    return np.concatenate(parts)
