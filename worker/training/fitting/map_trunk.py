"""Trains the map alone on cached features.

It learns nearly everything here, with a tenth of the whole network's work.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from worker.model.backends.precision import computing_in
from worker.model.place_map import COARSE_AB_SCALE, build_map_network
from worker.training.data.out_of_fold_targets import OutOfFoldTargets
from worker.training.evaluation.yardstick import colour_errors, means_and_sources
from worker.training.fitting.averaged_loop import LoopConfig, decaying_adam, fit
from worker.training.fitting.loop import Batch
from worker.training.fitting.losses import colour_loss, soft_cross_entropy
from worker.training.views.map_cache import PLACES, ViewMaps
from worker.training.views.sampling import SourceSampler

Floats = NDArray[np.float32]

BINS_SHARE = 0.02  # weight of the bins' cross-entropy (nats) relative to the colours' loss


@dataclass(frozen=True)
class TrunkConfig:
    """Hyperparameters of one run; they go into the model card as they are."""

    batch_size: int = 32
    dropout: float = 0.15
    weight_decay: float = 0.03
    bins_share: float = BINS_SHARE
    view_shares: tuple[float, ...] = (0.6, 0.4)
    seed: int = 1


class TrunkBatches:
    """Batches of cached features and colours; batch k is the same in every run."""

    def __init__(
        self, views: Sequence[ViewMaps], sampler: SourceSampler, config: TrunkConfig,
        out_of_fold: Sequence[OutOfFoldTargets] = (),
    ) -> None:  # fmt: skip
        """`out_of_fold`: predictions for each view (photos, k, k, 2), mixed into the targets of a, b; or none."""
        self._views, self._sampler, self._config, self._out_of_fold = views, sampler, config, out_of_fold
        shares = np.asarray(config.view_shares[: len(views)], np.float64)
        self._shares = shares / shares.sum()

    def __call__(self, step: int) -> Batch:
        """-> three maps, [a*, b* (batch, 28, 28, 2) for a, b, the same for the bins], CIE units.

        With out-of-fold targets, the second is a function of the run's progress.
        """
        rng = np.random.default_rng([self._config.seed, step])
        rows = np.sort(self._sampler.draw(self._config.batch_size, rng))
        numbers = rng.choice(len(self._views), size=len(rows), p=self._shares)
        parts = [self._views[number].batch([row]) for number, row in zip(numbers, rows, strict=True)]
        maps = [np.concatenate([part[0][level] for part in parts]) for level in range(3)]
        ab = np.concatenate([part[1] for part in parts])
        # The features of a mirrored photo are nearly its mirrored features, because the classifier was trained with
        # mirrored photos.
        mirrored = rng.random(len(rows)) < 0.5
        predicted = self._predicted(numbers, rows)
        for values in (*maps, ab, *predicted):
            values[mirrored] = values[mirrored][:, :, ::-1]
        if not predicted:
            return maps, [ab, ab]
        mixture = partial(self._out_of_fold[0].mixture, ab, predicted[0])
        return maps, lambda progress: [mixture(progress), ab]

    def _predicted(self, numbers: NDArray[Any], rows: NDArray[np.intp]) -> list[Floats]:
        """The predictions for photos in these views (batch, 28, 28, 2), if there are any."""
        if not self._out_of_fold:
            return []
        cells = [self._out_of_fold[number].ab[row] for number, row in zip(numbers, rows, strict=True)]
        return [np.stack([cv2.resize(one.astype(np.float32), (PLACES, PLACES)) for one in cells])]


def bins_loss(truth: Any, logits: Any) -> Any:
    """Cross-entropy, nats a place, of logits at every second place with the soft code of a*, b* (batch, h, w, 2)."""
    return soft_cross_entropy(truth[:, ::2, ::2], logits)


def trunk_figures(
    model: keras.Model, view: ViewMaps, rows: Mapping[str, NDArray[np.intp]], inside: Floats
) -> dict[str, float]:
    """The yardstick's figures at the map's places; `inside` (photos, 28, 28) is for all photos."""
    errors = {}
    for name, of_source in rows.items():
        maps, ab = view.batch(of_source)
        result = np.asarray(model.predict(maps, batch_size=100, verbose=0)[0], np.float32)
        errors[name] = colour_errors(result, ab, inside[of_source])
    return means_and_sources(errors)


def train_trunk(
    batches: TrunkBatches, config: TrunkConfig, loop: LoopConfig, folder: Path,
    validate: Callable[[keras.Model], dict[str, float]], mean_ab: tuple[float, float], resume: bool = False,
) -> keras.Model:  # fmt: skip
    """Trains the map; state, averaged weights and history are left in `folder`."""
    keras.utils.set_random_seed(config.seed)
    with computing_in("mixed_bfloat16"):
        model = build_map_network(dropout=config.dropout)
    colours = model.get_layer("map_ab")
    colours.kernel.assign(np.asarray(colours.kernel) * 0.1)
    colours.bias.assign(np.asarray(mean_ab, np.float32) / COARSE_AB_SCALE)
    model.compile(
        decaying_adam(config.weight_decay, loop.averaged_steps), loss=[colour_loss, bins_loss],
        loss_weights=[1.0, config.bins_share], jit_compile=False,
    )  # fmt: skip
    fit(model, batches, loop, folder, lambda: validate(model), resume)
    return model
