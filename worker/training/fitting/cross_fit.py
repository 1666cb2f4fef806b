"""Predicts each photo's colours by a model fitted on the other photos, for `train --expected-colours`.

The photos are divided into folds by their sources. For each fold, a perceptron is fitted on the other folds. From a
classifier's features at a place and its lightness, it predicts the place's mean colour. Then it predicts the photos of
its fold, which it has not seen ("cross-fitting"). Photos kept for validation are in no fit, and get the mean of all
predictions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from worker.model.network import TRAINING_MEAN_AB
from worker.training.data.feature_maps import CELLS, Features
from worker.training.data.folds import Folds
from worker.training.data.photo_cache import SHORT_SIDE_PX, PhotoCache
from worker.training.data.photos import square_lab
from worker.training.errors import TrainingError

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

PLACES = CELLS * CELLS
CELL_PX = SHORT_SIDE_PX // CELLS
HIDDEN = (384, 192)
TINT = np.asarray(TRAINING_MEAN_AB, np.float32)  # a*, b*, CIE units
AB_SPREAD = 20.0  # about the standard deviation of a* and b*, CIE units


@dataclass(frozen=True)
class CrossFitConfig:
    """Hyperparameters, chosen on photos kept for validation."""

    epochs: int = 8
    photos: int = 64  # photos in a step, with `places` places of each
    places: int = 64
    dropout: float = 0.4
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    weights: Mapping[str, int] = field(default_factory=dict)  # times that a folder's photos are seen in an epoch
    seed: int = 1


def predict_out_of_fold(
    cache: PhotoCache, places: "Places", folds: Folds, config: CrossFitConfig, say: Callable[[str], None]
) -> NDArray[np.float16]:
    """a*, b* of each photo's centre square, predicted by a model that was not fitted on it: (n, 16, 16, 2), CIE units.

    Reports each fold's R2 on its photos. Raises TrainingError if a fold has no photo.
    """
    if not all(len(folds.rows(number)) for number in range(folds.count)):
        raise TrainingError(
            f"{len(cache.training)} photos leave one of {folds.count} folds empty; give fewer --folds or more photos"
        )
    kept = cache.validation
    predicted = np.zeros((len(cache.names), PLACES, 2), np.float32)
    for number in range(folds.count):
        held_out = folds.rows(number)
        network = _fitted(places, folds.other_rows(number), cache, config, number)
        predicted[held_out] = places.predictions(network, held_out)
        predicted[kept] += places.predictions(network, kept) / np.float32(folds.count)
        r2 = places.r2(predicted, held_out)
        say(f"fold {number + 1} of {folds.count}: R2 {r2:.4f} on {len(held_out)} photos that it was not fitted on")
    say(f"all folds together: R2 {places.r2(predicted, kept):.4f} on {len(kept)} photos kept for choosing")
    return predicted.reshape(-1, CELLS, CELLS, 2).astype(np.float16)


class Places:
    """The inputs for each place of each photo, and the place's own mean colour."""

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

    def inputs(self, rows: Rows, places: Rows) -> Floats:
        """Features, lightness and position of places (m, p) of photos (m,): (m, p, width)."""
        features = self._features[rows[:, None], places // CELLS, places % CELLS]
        position = np.stack([places // CELLS, places % CELLS], axis=-1) / (CELLS - 1) * 2 - 1
        return np.concatenate([features, self._light[rows[:, None], places], position], axis=-1).astype(np.float32)

    def predictions(self, network: keras.Model, rows: Rows, at_once: int = 64) -> Floats:
        """a*, b* (m, 256, 2) of every place of these photos."""
        parts = [np.zeros((0, PLACES, 2), np.float32)]
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            place_values = self.inputs(part, np.broadcast_to(np.arange(PLACES), (len(part), PLACES)))
            parts.append(np.asarray(network.predict_on_batch(place_values), np.float32) * np.float32(AB_SPREAD) + TINT)
        return np.concatenate(parts)

    def r2(self, predicted: Floats, rows: Rows) -> float:
        """R2 of these photos' places: the share of the tint's squared error that is removed."""
        return 1 - float(np.square(predicted[rows] - self.ab[rows]).sum() / np.square(self.ab[rows] - TINT).sum())


def _fitted(places: Places, rows: Rows, cache: PhotoCache, config: CrossFitConfig, number: int) -> keras.Model:
    """A perceptron fitted on these photos."""
    keras.utils.set_random_seed(config.seed + number)
    rng = np.random.default_rng([config.seed, number])
    steps = config.epochs * max(1, len(rows) // config.photos)
    network = _perceptron(places.width, config.dropout)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps, alpha=0.02)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=config.weight_decay), loss="mse", jit_compile=False)
    counts = cache.weights(rows, config.weights).astype(np.float64)
    for _ in range(steps):
        photos = rng.choice(rows, config.photos, p=counts / counts.sum())
        at_places = rng.integers(PLACES, size=(config.photos, config.places))
        targets = (places.ab[photos[:, None], at_places] - TINT) / np.float32(AB_SPREAD)
        network.train_on_batch(places.inputs(photos, at_places), targets)
    return network


def _perceptron(width: int, dropout: float) -> keras.Model:
    """Inputs of places (..., width) -> (a*, b* - tint) / AB_SPREAD (..., 2). Untrained, it gives the tint."""
    place_values = keras.Input((None, width))
    x = keras.layers.Dropout(0.7 * dropout)(place_values)
    for units in HIDDEN:
        x = keras.layers.Dropout(dropout)(keras.layers.Dense(units, activation="relu")(x))
    return keras.Model(place_values, keras.layers.Dense(2, kernel_initializer="zeros")(x))
