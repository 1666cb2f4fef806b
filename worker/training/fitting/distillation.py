"""Trains an embedding by distillation: a classifier learns to give a teacher's answers for grey photos.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531. No ImageNet weights and no
labels are needed: a teacher's logits for ordinary photos are enough. The weights that come out are not ImageNet's.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.colour import lab_tensors
from worker.colour.lab import lightness_to_grey
from worker.model.backends.precision import computing_in
from worker.model.classifiers import compact
from worker.model.classifiers.embedding import build_classifier
from worker.training.augmentation.crop_batches import CropBatches
from worker.training.augmentation.draws import Zoom
from worker.training.data.class_logits import Logits, probabilities
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photos import Pixels, centre_square, to_lab
from worker.training.fitting import loop

Floats = NDArray[np.float32]


BUILDERS = {"inception_resnet_v2": build_classifier, "compact": compact.build_compact}  # by architecture
NEARLY_WHOLE = Zoom(1.0, 1.35)  # the photo's short side, as a multiple of side_px


@dataclass(frozen=True)
class DistillationConfig:
    """Hyperparameters of one run; they go into the model card as they are."""

    architecture: str = "inception_resnet_v2"
    side_px: int = 139
    batch_size: int = 32
    zoom: Zoom = NEARLY_WHOLE
    temperature: float = 1.5  # softens both answers, so that second guesses are learned too
    seed: int = 1
    mixed_precision: str = "mixed_bfloat16"
    schedule: loop.LearningRateSchedule = field(default_factory=loop.LearningRateSchedule)


def distill(
    cache: PhotoCache, teacher: Logits, config: DistillationConfig, folder: Path,
    start_from: Path | None = None, resume: bool = False, began: float | None = None,
) -> tuple[keras.Model, list[dict[str, float]]]:  # fmt: skip
    """Trains a classifier on the cache's training photos turned grey, towards `teacher`'s logits (n, 1000).

    Returns the classifier, with averaged weights, and the history. Raises TrainingError as `loop.run`, which
    also says what `began` is.
    """
    keras.utils.set_random_seed(config.seed)
    with computing_in(config.mixed_precision):
        model = BUILDERS[config.architecture](config.side_px)
    if start_from is not None:
        model.load_weights(start_from)
    else:
        _start_at_the_mean(model, teacher[cache.training])
    model.compile(loop.adam(), loss=_divergence(config.temperature), jit_compile=False)
    measure = Agreement(cache, teacher, config.side_px)
    history = loop.run(
        model, DistillationBatches(cache, teacher, config), config.schedule, folder,
        lambda: measure(model), resume, lambda line: print(line, flush=True), began,
    )  # fmt: skip
    return model, history


class DistillationBatches:
    """The batch of each step: grey crops and the teacher's logits. Step k is the same in every run."""

    def __init__(self, cache: PhotoCache, teacher: Logits, config: DistillationConfig) -> None:
        self._teacher = teacher
        self._config = config
        self._rows = cache.training
        side_px = config.side_px
        zoom = Zoom(config.zoom.smallest_px * side_px, config.zoom.largest_px * side_px)
        self._crops = CropBatches(cache, side_px, zoom)

    def __call__(self, step: int) -> loop.Batch:
        """-> images (batch, side, side, 3), -1..1, and logits (batch, 1000)."""
        rng = np.random.default_rng([self._config.seed, step])
        rows = rng.choice(self._rows, self._config.batch_size, replace=False)
        grey = lab_tensors.lightness_to_grey(50 * (self._crops(rows, rng).lightness + 1))
        return ops.repeat(grey / 127.5 - 1, 3, axis=-1), self._teacher[rows].astype(np.float32)


class Agreement:
    """How well the classifier agrees with the teacher on photos kept for choosing."""

    def __init__(self, cache: PhotoCache, teacher: Logits, side_px: int) -> None:
        rows = cache.validation
        self._images = np.stack([whole_photo(cache.photo(int(row)), side_px) for row in rows])
        self._wanted = probabilities(teacher[rows])

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Cross-entropy (nats) and the share of photos whose first guess is among the teacher's first five."""
        result = probabilities(predict_logits(model, self._images))
        entropy = -(self._wanted * np.log(result + 1e-9)).sum(1).mean()
        five = np.argsort(-self._wanted, axis=1)[:, :5]
        return {
            "cross_entropy": round(float(entropy), 4),
            "in_first_five": round(float((result.argmax(1)[:, None] == five).any(1).mean()), 4),
        }


def predict_logits(model: keras.Model, images: Floats, batch_size: int = 32) -> Floats:
    """Images (n, side, side, 3), -1..1 -> logits (n, 1000)."""
    parts = [
        np.asarray(model.predict_on_batch(images[k : k + batch_size]), np.float32)
        for k in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def whole_photo(photo: Pixels, side_px: int) -> Floats:
    """A photo's centre square, turned grey, at this side: (side, side, 3), -1..1."""
    square = cv2.resize(np.asarray(centre_square(photo)), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return _grey_image(to_lab(np.asarray(square, np.uint8))[..., 0])


def _grey_image(lightness: Floats) -> Floats:
    """L* (side, side), 0..100 -> (side, side, 3), -1..1, as `embedding.classifier_input` gives it to the classifier."""
    return np.repeat(lightness_to_grey(lightness)[..., None] / np.float32(127.5) - 1, 3, axis=-1)


def _start_at_the_mean(model: keras.Model, teacher: Logits) -> None:
    """Sets the untrained classifier to give the teacher's mean answer for every photo."""
    kernel, bias = model.get_layer("predictions").get_weights()
    mean = np.log(probabilities(teacher).mean(axis=0))
    model.get_layer("predictions").set_weights([kernel * 0.1, (mean - mean.mean()).astype(bias.dtype)])


def _divergence(temperature: float) -> Any:
    """Cross-entropy of the softened probabilities, times the temperature squared, so that the gradient keeps
    its size.
    """

    def loss(targets: Any, result: Any) -> Any:
        target = ops.softmax(ops.cast(targets, "float32") / temperature)
        measured = ops.log_softmax(ops.cast(result, "float32") / temperature)
        return -(temperature**2) * ops.mean(ops.sum(target * measured, axis=-1))

    return loss
