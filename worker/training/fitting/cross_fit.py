"""Predicts each photo's colours by a model fitted on the other photos, for `train --expected-colours` and recipes.

The photos are divided into folds by their sources. For each fold, a perceptron is fitted on the other folds. From a
classifier's features at a place, it predicts the place's mean colour. Then it predicts the photos of its fold, which it
has not seen ("cross-fitting").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from worker.model.network import TRAINING_MEAN_AB
from worker.training.data.folds import Folds
from worker.training.data.photo_places import Places
from worker.training.errors import TrainingError

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

HIDDEN = (384, 192)
TINT = np.asarray(TRAINING_MEAN_AB, np.float32)  # a*, b*, CIE units
AB_SPREAD = 20.0  # about the standard deviation of a* and b*, CIE units
PHOTOS_AT_ONCE = 64  # that are predicted


@dataclass(frozen=True)
class CrossFitConfig:
    """Hyperparameters, chosen on photos kept for validation."""

    epochs: int = 8
    photos: int = 64  # photos in a step, with `places` places of each
    places: int = 64
    dropout: float = 0.4
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 1


def predict_out_of_fold(
    places: Places, folds: Folds, weights: NDArray[Any], kept: Rows, config: CrossFitConfig, say: Callable[[str], None]
) -> Floats:
    """a*, b* of each photo, predicted by a model that was not fitted on it: (n, places.count, 2), CIE units.

    `weights` (n,) say how often each photo is shown, relative to others. Photos `kept` for validation are in no fold,
    and get the mean of all models' predictions; further photos outside of all folds get 0. Reports each fold's R2 on
    its photos. Raises TrainingError if a fold has no photo.
    """
    if not all(len(folds.rows(number)) for number in range(folds.count)):
        raise TrainingError(f"one of {folds.count} folds has no photo; give fewer folds or more photos")
    predicted = np.zeros((len(folds.numbers), places.count, 2), np.float32)
    for number in range(folds.count):
        held_out = folds.rows(number)
        network = _fitted(places, folds.other_rows(number), weights, config, number)
        predicted[held_out] = _predictions(network, places, held_out)
        predicted[kept] += _predictions(network, places, kept) / np.float32(folds.count)
        r2 = r2_of(predicted, places, held_out)
        say(f"fold {number + 1} of {folds.count}: R2 {r2:.4f} on {len(held_out)} photos that it was not fitted on")
    if len(kept):
        say(f"all folds together: R2 {r2_of(predicted, places, kept):.4f} on {len(kept)} photos kept for choosing")
    return predicted


def r2_of(predicted: Floats, places: Places, rows: Rows) -> float:
    """R2 of these photos' places: the share of the tint's squared error that is removed."""
    error = of_tint = 0.0
    for part in _parts(rows):
        ab = places.colours(part, _all_places(places, part))
        error += float(np.square(predicted[part] - ab).sum())
        of_tint += float(np.square(ab - TINT).sum())
    return 1 - error / of_tint


def _fitted(places: Places, rows: Rows, weights: NDArray[Any], config: CrossFitConfig, number: int) -> keras.Model:
    """A perceptron fitted on these photos."""
    keras.utils.set_random_seed(config.seed + number)
    rng = np.random.default_rng([config.seed, number])
    steps = config.epochs * max(1, len(rows) // config.photos)
    network = _perceptron(places.width, config.dropout)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps, alpha=0.02)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=config.weight_decay), loss="mse", jit_compile=False)
    shares = np.asarray(weights[rows], np.float64)
    for _ in range(steps):
        photos = rng.choice(rows, config.photos, p=shares / shares.sum())
        at_places = rng.integers(places.count, size=(config.photos, config.places))
        targets = (places.colours(photos, at_places) - TINT) / np.float32(AB_SPREAD)
        network.train_on_batch(places.inputs(photos, at_places), targets)
    return network


def _predictions(network: keras.Model, places: Places, rows: Rows) -> Floats:
    """a*, b* (m, places.count, 2) of every place of these photos."""
    parts = [np.zeros((0, places.count, 2), np.float32)]
    for part in _parts(rows):
        inputs = places.inputs(part, _all_places(places, part))
        parts.append(np.asarray(network.predict_on_batch(inputs), np.float32) * np.float32(AB_SPREAD) + TINT)
    return np.concatenate(parts)


def _parts(rows: Rows) -> list[Rows]:
    return [rows[start : start + PHOTOS_AT_ONCE] for start in range(0, len(rows), PHOTOS_AT_ONCE)]


def _all_places(places: Places, rows: Rows) -> Rows:
    return np.broadcast_to(np.arange(places.count), (len(rows), places.count))


def _perceptron(width: int, dropout: float) -> keras.Model:
    """Inputs of places (..., width) -> (a*, b* - tint) / AB_SPREAD (..., 2). Untrained, it gives the tint."""
    place_values = keras.Input((None, width))
    x = keras.layers.Dropout(0.7 * dropout)(place_values)
    for units in HIDDEN:
        x = keras.layers.Dropout(dropout)(keras.layers.Dense(units, activation="relu")(x))
    return keras.Model(place_values, keras.layers.Dense(2, kernel_initializer="zeros")(x))
