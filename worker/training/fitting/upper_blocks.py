"""Trains the feature network's upper blocks together with the map: ImageNet's features learn what colour needs.

The blocks up to stride 8 stay as they are: edges and textures are the same for every task, and their large maps would
take most of the time. The upper blocks see each photo in a new view at every step, so they can't learn it by heart.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from worker.model.backends.precision import computing_in
from worker.model.classifiers.features import FEATURES_PX, FINE_LAYERS, LAYERS, MAP_CHANNELS, fine_map, upper_maps
from worker.model.norm_folding import plain_network_weights
from worker.model.place_map import FEATURE_STRIDES, coarse_bins, coarse_colours, place_map
from worker.training.augmentation.compiled import compiled
from worker.training.fitting.averaged_loop import LoopConfig, decaying_adam, fit
from worker.training.fitting.losses import colour_loss
from worker.training.fitting.map_trunk import BINS_SHARE, bins_loss
from worker.training.views.lite2_importer import Layers
from worker.training.views.map_cache import place_colours
from worker.training.views.photo_views import View, photo_view
from worker.training.views.sampling import SourceSampler
from worker.training.views.square_cache import SquareCache

Floats = NDArray[np.float32]

LEARNING_SHARE = (
    2.0  # of a layer's own scale, for a change of 1: blocks move faster than the map, whose values are small
)
FULL_KERNEL = 4  # dimensions; a depthwise kernel has three
THREADS = 2
FIRST_NEW_VIEW = 1000  # numbers of views that are made for one step alone


@dataclass(frozen=True)
class TuneConfig:
    """Hyperparameters of one run; they go into the model card as they are."""

    batch_size: int = 32
    side_px: int = FEATURES_PX  # of the views, a multiple of 32; smaller ones are quicker, and most photos lose nothing
    whole_share: float = 0.4  # of the photos are seen as they are; the others cropped, turned and aged, anew each time
    dropout: float = 0.15
    weight_decay: float = 0.03
    bins_share: float = BINS_SHARE
    mixed_precision: str = "mixed_bfloat16"  # or "float32", which is faster on processors without bfloat16
    seed: int = 1


@keras.saving.register_keras_serializable(package="photochrom")
class UpperBlocks(layers.Layer):  # type: ignore[misc]  # Keras tells no types
    """The map of stride 8 -> those of strides 16 and 32, by weights that are trained from `start` on.

    What is trained is each value's difference from the start, in units of `LEARNING_SHARE` of its layer's root mean
    square. So one learning rate suits layers of every scale, and weight decay draws towards ImageNet's weights.
    Convolutions of 1x1 are computed in `dtype_1x1`, depthwise ones in float32: on a CPU the gradients of the latter
    take twice as long in bfloat16.
    """

    def __init__(self, start: Layers, dtype_1x1: str = "float32", **options: Any) -> None:
        super().__init__(dtype="float32", **options)
        self._dtype_1x1 = dtype_1x1
        self._start = [tuple(np.asarray(value, np.float32) for value in pair) for pair in start]

    def build(self, _: tuple[int | None, ...]) -> None:
        """Makes a difference for each kernel and bias."""
        self.differences = [
            [
                self.add_weight(shape=value.shape, initializer="zeros", name=f"{part}_{number}")
                for part, value in zip(("kernel", "offset"), pair, strict=True)
            ]
            for number, pair in enumerate(self._start)
        ]

    def call(self, fine: Any) -> tuple[Any, Any]:
        """(batch, 28, 28, 48) -> (batch, 14, 14, 120), (batch, 7, 7, 352)."""
        pairs = [
            (ops.cast(kernel, self._dtype_1x1) if len(kernel.shape) == FULL_KERNEL else kernel, bias)
            for kernel, bias in self._moved_pairs()
        ]
        return upper_maps(fine, pairs)

    def layers_now(self) -> Layers:
        """The weights as they are now."""
        return [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in self._moved_pairs()]

    def _moved_pairs(self) -> list[tuple[Any, Any]]:
        return [
            (_moved(kernel, of_kernel), _moved(bias, of_bias))
            for (kernel, bias), (of_kernel, of_bias) in zip(self._start, self.differences, strict=True)
        ]


def _moved(start: Floats, difference: Any) -> Any:
    unit = LEARNING_SHARE * float(np.sqrt(np.mean(np.square(start))))
    return ops.convert_to_tensor(start) + unit * ops.convert_to_tensor(difference)


def build_tuned_network(
    start: Layers, dropout: float = 0.0, side_px: int = FEATURES_PX, mixed_precision: str = "float32"
) -> keras.Model:  # fmt: skip
    """The map of stride 8 -> a, b (batch, 28, 28, 2), bins (batch, 14, 14, 313): upper blocks and map in one.

    The shapes are those of `side_px` 224. The map is in its folded form, without norms.
    """
    places = side_px // FEATURE_STRIDES[0]
    fine = keras.Input((places, places, MAP_CHANNELS[0]), name="features_8")
    dtype_1x1 = keras.mixed_precision.DTypePolicy(mixed_precision).compute_dtype
    middle, coarse = UpperBlocks(start[FINE_LAYERS:LAYERS], dtype_1x1, name="upper_blocks")(fine)
    with computing_in(mixed_precision):
        at_places = place_map([fine, middle, coarse], batch_norm=False, dropout=dropout)
        return keras.Model(fine, [coarse_colours(at_places), coarse_bins(at_places[:, ::2, ::2])], name="tuned_map")


def continue_map(model: keras.Model, map_weights: Mapping[str, Floats]) -> None:
    """Gives a `build_tuned_network` the folded weights of a trained map, by layer."""
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.set_weights([map_weights[f"{layer.name}.kernel"], map_weights[f"{layer.name}.bias"]])


def trained_parts(model: keras.Model, start: Layers) -> tuple[dict[str, Floats], Layers]:
    """A trained `build_tuned_network` -> the map's folded weights by layer, and the whole feature network."""
    blocks = model.get_layer("upper_blocks")
    weights = plain_network_weights(model)
    of_map = {key: value for key, value in weights.items() if not key.startswith(f"{blocks.name}.")}
    return of_map, [*start[:FINE_LAYERS], *blocks.layers_now()]


class TunedBatches:
    """Batches of the map of stride 8 and colours; batch k is the same in every run.

    `compute_fine` gives maps of stride 8 of grey (n, side, side, 1), 0..255.
    """

    def __init__(
        self, cache: SquareCache, sampler: SourceSampler, compute_fine: Callable[[Floats], Floats], config: TuneConfig
    ) -> None:  # fmt: skip
        self._cache, self._sampler = cache, sampler
        self._compute_fine, self._config = compute_fine, config
        self._threads = ThreadPoolExecutor(THREADS)

    def __call__(self, step: int) -> tuple[Floats, list[Floats]]:
        """-> (batch, 28, 28, 48), [a*, b* (batch, 28, 28, 2), the same], CIE units; shapes of a side of 224 px."""
        rng = np.random.default_rng([self._config.seed, step, 2])
        rows = np.sort(self._sampler.draw(self._config.batch_size, rng))
        is_whole = rng.random(len(rows)) < self._config.whole_share
        whole_views = rng.integers(2, size=len(rows))  # view 1 is view 0 mirrored
        numbers = np.where(is_whole, whole_views, FIRST_NEW_VIEW + step)
        views = list(self._threads.map(self._view, rows, numbers))
        places = self._config.side_px // FEATURE_STRIDES[0]
        ab = np.stack(list(self._threads.map(lambda view: place_colours(view, places), views))).astype(np.float32)
        return self._compute_fine(np.stack([view.grey for view in views])[..., None]), [ab, ab]

    def _view(self, row: int, number: int) -> View:
        side_px, square = self._config.side_px, self._cache.pixels[row]
        if side_px != len(square):
            square = cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_AREA)
        return photo_view(square, int(row), int(number))


def fine_maps(layers: Layers, mixed_precision: str = "float32") -> Callable[[Floats], Floats]:
    """Computes maps of stride 8 of grey (n, side, side, 1), 0..255."""
    dtype = keras.mixed_precision.DTypePolicy(mixed_precision).compute_dtype
    weights = [(ops.cast(kernel, dtype), ops.cast(bias, dtype)) for kernel, bias in layers[:FINE_LAYERS]]
    compute = compiled(lambda grey, weights: ops.cast(fine_map(ops.cast(grey, dtype), weights), "float32"))
    return lambda grey: np.asarray(compute(ops.convert_to_tensor(grey), weights))


def train_tuned(
    model: keras.Model, batches: TunedBatches, config: TuneConfig, loop: LoopConfig, folder: Path,
    validate: Callable[[keras.Model], dict[str, float]], resume: bool = False,
) -> None:  # fmt: skip
    """Trains the upper blocks and the map, beginning with `model`.

    State, averaged weights and history are written to `folder`.
    """
    keras.utils.set_random_seed(config.seed)
    model.compile(
        decaying_adam(config.weight_decay, loop.averaged_steps), loss=[colour_loss, bins_loss],
        loss_weights=[1.0, config.bins_share], jit_compile=False,
    )  # fmt: skip
    fit(model, batches, loop, folder, lambda: validate(model), resume)
