"""Training the fusion network: encoder, fusion, decoder and head, with classifiers' words in the embedding's place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.model.lab import centre_square
from worker.model.network import AB_SCALE, TRAINING_MEAN_AB, Head, build_network
from worker.training import loop
from worker.training.augment import Zoom, random_crop, random_tone
from worker.training.classifiers import CLASSES, Logits, probabilities, varied
from worker.training.dataset import PhotoCache
from worker.training.photos import to_lab
from worker.training.start import start_at_least_squares

Floats = NDArray[np.float32]

LOSS_SCALE = 100.0  # so that the tint's loss is about 1
VALIDATION_SIDE_PX = 256
VALIDATION_PHOTOS = 96


ALL_SIZES = Zoom(100.0, 420.0)  # from the whole photo in a crop to its size in use


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of one run; they go into the model card as they are."""

    side_px: int = 96
    batch_size: int = 24
    zoom: Zoom = ALL_SIZES
    head: Head = "paper"
    seed: int = 1
    mixed_precision: str = "mixed_bfloat16"  # or "float32", "mixed_float16"
    schedule: loop.Schedule = field(default_factory=loop.Schedule)


def train(
    cache: PhotoCache, sources: Sequence[Logits], settings: Settings, folder: Path,
    start_from: Path | None = None, resume: bool = False,
) -> tuple[keras.Model, list[dict[str, float]]]:  # fmt: skip
    """Trains on the cache's training photos; `sources` are classifiers' logits, one row for each photo.

    `start_from` is an earlier run's folder whose weights begin this one; `resume` goes on with `folder`'s own.
    Returns the network, with averaged weights, and the history. Raises TrainingError as `loop.run`.
    """
    keras.utils.set_random_seed(settings.seed)
    with loop.precision(settings.mixed_precision):
        model = build_network(settings.head, size=None)
    if start_from is not None:
        model.load_weights(start_from)
    elif settings.head == "paper":
        start_at_least_squares(model, cache, sources)
    model.compile(loop.adam(), loss=colour_loss, jit_compile=False)
    batches = FusionBatches(cache, sources, settings)
    measure = Validation(cache, sources)
    history = loop.run(
        model, batches, settings.schedule, folder, lambda: measure(model), resume, lambda line: print(line, flush=True)
    )
    return model, history


def colour_loss(wanted: Any, given: Any) -> Any:
    """Mean square error of a, b / 128, x 100."""
    return LOSS_SCALE * ops.mean(ops.square(ops.cast(wanted, "float32") - ops.cast(given, "float32")))


class FusionBatches:
    """The batch of each step: crops' lightness and embeddings, and their colours. Step k is the same in every run."""

    def __init__(self, cache: PhotoCache, sources: Sequence[Logits], settings: Settings) -> None:
        self._cache = cache
        self._sources = sources
        self._settings = settings
        self._rows = cache.training

    def __call__(self, step: int) -> loop.Batch:
        """-> lightness (batch, side, side, 1), -1..1, embedding (batch, 1000); a, b / 128 (batch, side, side, 2)."""
        rng = np.random.default_rng([self._settings.seed, step])
        examples = [self._example(row, rng) for row in self._photos(step)]
        lightness, embeddings, ab = (np.stack(part) for part in zip(*examples, strict=True))
        return [lightness, embeddings], ab

    def _example(self, row: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        lab = to_lab(random_crop(self._cache.photo(row), self._settings.side_px, self._settings.zoom, rng))
        lightness = random_tone(lab[..., :1], rng) / 50 - 1
        return (
            np.asarray(lightness, np.float32),
            varied(self._sources, row, rng),
            np.asarray(lab[..., 1:] / AB_SCALE, np.float32),
        )

    def _photos(self, step: int) -> list[int]:
        """Every photo once an epoch, in an order of the epoch's own."""
        count = len(self._rows)
        places = range(step * self._settings.batch_size, (step + 1) * self._settings.batch_size)
        orders = {
            e: np.random.default_rng([self._settings.seed, e, 7]).permutation(count)
            for e in {place // count for place in places}
        }
        return [int(self._rows[orders[place // count][place % count]]) for place in places]


class Validation:
    """R2 on photos kept for choosing, with each classifier's word and with none; and PSNR is left to `evaluate`."""

    def __init__(self, cache: PhotoCache, sources: Sequence[Logits], photos: int = VALIDATION_PHOTOS) -> None:
        rows = np.random.default_rng(0).permutation(cache.validation)[:photos]
        lab = np.stack([_square(cache, int(row)) for row in rows])
        self._lightness, self._ab = lab[..., :1] / 50 - 1, lab[..., 1:]
        self._embeddings = [np.sqrt(probabilities(logits[rows])) for logits in sources]

    def __call__(self, model: keras.Model) -> dict[str, float]:
        known = {f"r2_{n}": self._r2(model, given) for n, given in enumerate(self._embeddings, start=1)}
        return known | {"r2_zeros": self._r2(model, np.zeros((len(self._ab), CLASSES), np.float32))}

    def _r2(self, model: keras.Model, embeddings: Floats) -> float:
        found = [
            np.asarray(model.predict_on_batch([self._lightness[k : k + 8], embeddings[k : k + 8]]), np.float32)
            for k in range(0, len(self._ab), 8)
        ]
        error = np.square(self._ab - AB_SCALE * np.concatenate(found)).sum()
        return round(float(1 - error / np.square(self._ab - np.asarray(TRAINING_MEAN_AB, np.float32)).sum()), 4)


def _square(cache: PhotoCache, row: int) -> Floats:
    photo = cv2.resize(np.asarray(centre_square(cache.photo(row))), (VALIDATION_SIDE_PX, VALIDATION_SIDE_PX))
    return to_lab(np.asarray(photo, np.uint8))
