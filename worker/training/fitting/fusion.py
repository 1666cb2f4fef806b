"""Trains the fusion network: encoder, fusion, decoder and heads, with the answers of several classifiers as
embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.colour.lab import lab_to_rgb
from worker.errors import CheckpointError
from worker.model import checkpoint
from worker.model import weights as weights_io
from worker.model.backends.precision import computing_in
from worker.model.network import AB_SCALE, TRAINING_MEAN_AB, Heads, build_network
from worker.model.vivid_head import annealed_mean
from worker.training.augmentation.crop_batches import CropBatches
from worker.training.augmentation.draws import Zoom
from worker.training.data.class_logits import CLASSES, Logits, probabilities, varied
from worker.training.data.out_of_fold_targets import OutOfFoldTargets
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photos import centre_square, to_lab
from worker.training.data.soft_targets import TAKEN_BACK, SoftColours, bin_prior, take_back_rebalancing
from worker.training.fitting import loop
from worker.training.fitting.initial_weights import start_at_least_squares, start_at_prior
from worker.training.fitting.norm_restoring import start_at_weights

Floats = NDArray[np.float32]

LOSS_SCALE = 100.0  # with this, the tint's loss is about 1
VIVID_SHARE = 0.5  # weight of the bins' cross-entropy (nats) relative to the paper head's loss, if both are trained
LOOKS_SHARE = 0.4  # of the crops of `photochrom train`, unless it is told another
VALIDATION_SIDE_PX = 192
VALIDATION_PHOTOS = 160

ALL_SIZES = Zoom(100.0, 420.0)  # from the whole photo in a crop to its size in use


@dataclass(frozen=True)
class FusionConfig:
    """Hyperparameters of one run; they go into the model card as they are."""

    side_px: int = 96
    batch_size: int = 24
    zoom: Zoom = ALL_SIZES
    head: Heads = "paper"
    weights: Mapping[str, int] = field(default_factory=dict)  # times that a folder's photos are seen in an epoch
    looks: float = 0.0  # share of the crops that are made to look like old photographs
    seed: int = 1
    mixed_precision: str = "mixed_bfloat16"  # or "float32", "mixed_float16"
    schedule: loop.LearningRateSchedule = field(default_factory=loop.LearningRateSchedule)


def train(
    cache: PhotoCache, sources: Sequence[Logits], config: FusionConfig, folder: Path,
    start_from: Path | None = None, resume: bool = False, validation_logits: Sequence[Logits] = (),
    out_of_fold: OutOfFoldTargets | None = None, began: float | None = None,
) -> tuple[keras.Model, list[dict[str, float]]]:  # fmt: skip
    """Trains on the cache's training photos; `sources` are classifiers' logits, one row for each photo.

    `validation_logits` are of classifiers that are used only for measuring. `out_of_fold`: the paper head's targets
    are a mixture of the photos' own colours and of these. `start_from`: the folder of a checkpoint or an earlier run's
    state, with whose weights this run begins. `resume` continues the run in `folder`. `began`, by time.monotonic(), is
    when the command began whose minutes the schedule gives. Returns the network, with averaged weights and part of the
    vivid head's rebalancing taken back, and the history. Raises TrainingError as `loop.run`.
    """
    model, batches = prepare(cache, sources, config, start_from, out_of_fold)
    measure = Validation(cache, [*sources, *validation_logits], config.weights)
    history = loop.run(
        model, batches, config.schedule, folder, lambda: measure(model), resume,
        lambda line: print(line, flush=True), began,
    )  # fmt: skip
    if batches.soft_colours is not None:
        take_back_rebalancing(model, batches.soft_colours.prior)
    return model, history


def prepare(
    cache: PhotoCache, sources: Sequence[Logits], config: FusionConfig, start_from: Path | None = None,
    out_of_fold: OutOfFoldTargets | None = None,
) -> tuple[keras.Model, "FusionBatches"]:  # fmt: skip
    """The network, compiled, with the weights that it begins with, and its batches; see `train`."""
    keras.utils.set_random_seed(config.seed)
    with computing_in(config.mixed_precision):
        model = build_network(config.head, size=None)
    soft_colours = None if config.head == "paper" else SoftColours(bin_prior(cache))
    batches = FusionBatches(cache, sources, config, soft_colours, out_of_fold)
    if start_from is None:
        _start(model, cache, sources, soft_colours)
    elif start_from.is_dir():
        _start_at_checkpoint(model, config.head, start_from, batches, soft_colours)
    else:
        model.load_weights(start_from)
    losses = {"paper": colour_loss, "vivid": bin_loss, "both": [colour_loss, bin_loss]}
    weights = {"both": [1.0, VIVID_SHARE]}
    model.compile(loop.adam(), loss=losses[config.head], loss_weights=weights.get(config.head), jit_compile=False)
    return model, batches


def _start(model: keras.Model, cache: PhotoCache, sources: Sequence[Logits], soft_colours: SoftColours | None) -> None:
    if soft_colours is None or len(model.outputs) > 1:
        start_at_least_squares(model, cache, sources)
    if soft_colours is not None:
        start_at_prior(model, soft_colours.prior)


def check_start(start_from: Path) -> None:
    """Raises CheckpointError for what a run can't begin with: neither a state, nor a sound checkpoint without a map."""
    if start_from.is_dir():
        if checkpoint.verify(start_from).features is not None:
            raise CheckpointError(
                f"{start_from} has a map of features, which is not trained here; give --start-from first"
            )
    elif not start_from.is_file():
        raise CheckpointError(
            f"--start-from {start_from} is neither a folder nor a file; expected a checkpoint's folder, the name of a "
            "bundled one, such as first, or the state of an earlier run, state.weights.h5"
        )


def _start_at_checkpoint(
    model: keras.Model, heads: Heads, folder: Path, batches: "FusionBatches", soft_colours: SoftColours | None
) -> None:
    """Raises CheckpointError as `check_start`."""
    check_start(folder)
    start_at_weights(model, heads, weights_io.read_fusion(folder), lambda number: batches(number)[0])
    if soft_colours is not None:
        take_back_rebalancing(model, soft_colours.prior, -TAKEN_BACK)  # it is taken back again at the end


def colour_loss(wanted: Any, given: Any) -> Any:
    """Mean square error of a, b / 128, x 100."""
    return LOSS_SCALE * ops.mean(ops.square(ops.cast(wanted, "float32") - ops.cast(given, "float32")))


def bin_loss(wanted: Any, given: Any) -> Any:
    """Cross-entropy of bin logits (batch, h, w, 313) with weighted soft colours of the same shape, nats a place."""
    log_probabilities = ops.log_softmax(ops.cast(given, "float32"), axis=-1)
    return -ops.mean(ops.sum(ops.cast(wanted, "float32") * log_probabilities, axis=-1))


class FusionBatches:
    """The batch of each step: crops' lightness and embeddings, and their colours. Step k is the same in every run."""

    def __init__(
        self, cache: PhotoCache, sources: Sequence[Logits], config: FusionConfig,
        soft_colours: SoftColours | None = None, out_of_fold: OutOfFoldTargets | None = None,
    ) -> None:  # fmt: skip
        self._sources = sources
        self._config = config
        self.soft_colours = soft_colours
        self._out_of_fold = out_of_fold
        rows = cache.training
        self._rows = np.repeat(rows, cache.weights(rows, config.weights))
        cells = None if out_of_fold is None else out_of_fold.ab
        self._crops = CropBatches(cache, config.side_px, config.zoom, config.looks, cells)

    def __call__(self, step: int) -> loop.Batch:
        """-> lightness (batch, side, side, 1), -1..1, embedding (batch, 1000); what the heads should answer.

        `paper`: a, b / 128 (batch, side, side, 2); `vivid`: soft colours (batch, side / 4, side / 4, 313). With
        out-of-fold targets, it is a function of the run's progress, because their share changes.
        """
        rng = np.random.default_rng([self._config.seed, step])
        rows = self._photos(step)
        crops = self._crops(rows, rng)
        embeddings = ops.convert_to_tensor(np.stack([varied(self._sources, int(row), rng) for row in rows]))
        inputs = [crops.lightness, embeddings]
        soft = None if self.soft_colours is None else self.soft_colours(crops.ab * AB_SCALE)
        if self._out_of_fold is None:
            return inputs, self._targets(crops.ab, soft)
        mixture = partial(self._out_of_fold.mixture, crops.ab, crops.out_of_fold_ab)
        return inputs, lambda progress: self._targets(mixture(progress), soft)

    def _targets(self, ab: Any, soft: Any) -> Any:
        """What the heads in training should answer: a, b / 128, soft colours, or both."""
        return {"paper": ab, "vivid": soft, "both": [ab, soft]}[self._config.head]

    def _photos(self, step: int) -> NDArray[np.intp]:
        """The photos of a step. Each epoch has every photo once, in a random order."""
        count = len(self._rows)
        places = range(step * self._config.batch_size, (step + 1) * self._config.batch_size)
        orders = {
            e: np.random.default_rng([self._config.seed, e, 7]).permutation(count)
            for e in {place // count for place in places}
        }
        return np.array([self._rows[orders[place // count][place % count]] for place in places], np.intp)


class Validation:
    """R2 on photos kept for validation, with each classifier's answers and with none; PSNR above grey with the first
    one's.

    Folders have the same weights as in training. A network with two heads is measured by its paper head.
    """

    def __init__(
        self, cache: PhotoCache, sources: Sequence[Logits], weights: Mapping[str, int] | None = None,
        photos: int = VALIDATION_PHOTOS,
    ) -> None:  # fmt: skip
        rows = np.random.default_rng(0).permutation(cache.validation)[:photos]
        lab = np.stack([_square(cache, int(row)) for row in rows])
        self._lightness, self._ab = np.asarray(lab[..., :1] / 50 - 1, np.float32), lab[..., 1:]
        self._weights = cache.weights(rows, weights or {}).astype(np.float64)
        different = {id(logits): logits for logits in sources}.values()
        self._embeddings = [np.sqrt(probabilities(logits[rows])) for logits in different]

    def __call__(self, model: keras.Model) -> dict[str, float]:
        found = [self._colours(model, given) for given in self._embeddings]
        known = {f"r2_{n}": self._r2(one) for n, one in enumerate(found, start=1)}
        without = self._r2(self._colours(model, np.zeros((len(self._ab), CLASSES), np.float32)))
        return known | {"r2_zeros": without, "psnr_above_grey": self._psnr_above_grey(found[0])}

    def _colours(self, model: keras.Model, embeddings: Floats) -> Floats:
        parts = [
            colours_of(model, self._lightness[k : k + 8], embeddings[k : k + 8]) for k in range(0, len(self._ab), 8)
        ]
        return np.concatenate(parts)

    def _psnr_above_grey(self, found: Floats) -> float:
        """dB, the photos' mean."""
        differences = []
        for lightness, wanted, given in zip(50 * (self._lightness + 1), self._ab, found, strict=True):
            original, result, grey = (
                lab_to_rgb(np.concatenate([lightness, ab], -1)) for ab in (wanted, given, np.zeros_like(given))
            )
            differences.append(10 * np.log10(np.square(grey - original).mean() / np.square(result - original).mean()))
        return round(float(np.mean(differences)), 3)

    def _r2(self, found: Floats) -> float:
        of_tint = np.square(self._ab - np.asarray(TRAINING_MEAN_AB, np.float32)).mean((1, 2, 3))
        error = np.square(self._ab - found).mean((1, 2, 3))
        return round(float(1 - self._weights @ error / (self._weights @ of_tint)), 4)


def colours_of(model: keras.Model, lightness: Floats, embeddings: Floats) -> Floats:
    """a*, b* (batch, side, side, 2), CIE units, by whichever heads the network in training has."""
    given = model.predict_on_batch([lightness, embeddings])
    given = np.asarray(given[0] if isinstance(given, list) else given, np.float32)
    if given.shape[-1] == 2:
        return given * np.float32(AB_SCALE)
    side = lightness.shape[1]
    ab = np.asarray(annealed_mean(given, 1.0))
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_LINEAR) for one in ab])


def _square(cache: PhotoCache, row: int) -> Floats:
    photo = cv2.resize(np.asarray(centre_square(cache.photo(row))), (VALIDATION_SIDE_PX, VALIDATION_SIDE_PX))
    return to_lab(np.asarray(photo, np.uint8))
