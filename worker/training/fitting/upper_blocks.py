"""Trains the feature network's upper blocks together with the map: ImageNet's features learn what colour needs.

The blocks up to stride 8 stay as they are: edges and textures are the same for every task, and their large maps would
take most of the time. The upper blocks see each photo in a new view at every step, so they can't learn it by heart.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from worker.model.classifiers.features import FEATURES_PX, FINE_LAYERS, LAYERS, MAP_CHANNELS, fine_map, upper_maps
from worker.model.place_map import FEATURE_STRIDES, build_map_network, coarse_bins, coarse_colours, place_map
from worker.training.fitting.averaged_loop import LoopConfig, decaying_adam, fit
from worker.training.fitting.losses import colour_loss
from worker.training.fitting.map_trunk import BINS_SHARE, bins_loss
from worker.training.views.lite2_importer import Layers
from worker.training.views.map_cache import ViewMaps, place_colours
from worker.training.views.photo_views import photo_view
from worker.training.views.sampling import SourceSampler
from worker.training.views.square_cache import SquareCache

Floats = NDArray[np.float32]

COMPUTED_IN = "bfloat16"
LEARNING_SHARE = 0.5  # of a layer's own scale, for a step as large as the learning rate
THREADS = 2
FIRST_NEW_VIEW = 1000  # numbers of views that are made for one step alone


@dataclass(frozen=True)
class TuneConfig:
    """Hyperparameters of one run; they go into the model card as they are."""

    batch_size: int = 32
    whole_share: float = 0.4  # of the photos are seen as they are; the others cropped, turned and aged, anew each time
    dropout: float = 0.15
    weight_decay: float = 0.03
    bins_share: float = BINS_SHARE
    seed: int = 1


@keras.saving.register_keras_serializable(package="photochrom")
class UpperBlocks(layers.Layer):  # type: ignore[misc]  # Keras tells no types
    """The map of stride 8 -> those of strides 16 and 32, by weights that are trained from `start` on.

    What is trained is each value's difference from the start, in units of `LEARNING_SHARE` of its layer's root mean
    square. So one learning rate suits layers of every scale, and weight decay draws towards ImageNet's weights.
    """

    def __init__(self, start: Layers, **options: Any) -> None:
        super().__init__(**options)
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
            (_moved(kernel, of_kernel), _moved(bias, of_bias))
            for (kernel, bias), (of_kernel, of_bias) in zip(self._start, self.differences, strict=True)
        ]
        return upper_maps(fine, pairs)

    def layers_now(self) -> Layers:
        """The weights as they are now."""
        return [
            (np.asarray(_moved(kernel, of_kernel)), np.asarray(_moved(bias, of_bias)))
            for (kernel, bias), (of_kernel, of_bias) in zip(self._start, self.differences, strict=True)
        ]


def _moved(start: Floats, difference: Any) -> Any:
    unit = LEARNING_SHARE * float(np.sqrt(np.mean(np.square(start))))
    return keras.ops.convert_to_tensor(start) + unit * keras.ops.convert_to_tensor(difference)


def build_tuned_network(start: Layers, dropout: float = 0.0) -> keras.Model:
    """The map of stride 8 -> a, b (batch, 28, 28, 2), bins (batch, 14, 14, 313): upper blocks and map in one.

    Computed in float32: on a CPU the gradients of depthwise convolutions take twice as long in bfloat16.
    """
    side = FEATURES_PX // FEATURE_STRIDES[0]
    fine = keras.Input((side, side, MAP_CHANNELS[0]), name="features_8")
    middle, coarse = UpperBlocks(start[FINE_LAYERS:LAYERS], name="upper_blocks")(fine)
    places = place_map([fine, middle, coarse], dropout=dropout)
    return keras.Model(fine, [coarse_colours(places), coarse_bins(places[:, ::2, ::2])], name="tuned_map")


def continue_map(model: keras.Model, map_network: keras.Model) -> None:
    """Gives a `build_tuned_network` the weights of a trained map."""
    for layer in map_network.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def trained_parts(model: keras.Model, start: Layers) -> tuple[keras.Model, Layers]:
    """A trained `build_tuned_network` -> the map as `build_map_network` has it, and the whole feature network."""
    network = build_map_network()
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return network, [*start[:FINE_LAYERS], *model.get_layer("upper_blocks").layers_now()]


class TunedBatches:
    """Batches of the map of stride 8 and colours; batch k is the same in every run.

    `whole` is view 0 of all photos, whose map is cached; the others' are computed for the step by `compute_fine`, which
    takes grey (n, 224, 224, 1), 0..255.
    """

    def __init__(
        self, cache: SquareCache, whole: ViewMaps, sampler: SourceSampler, compute_fine: Callable[[Floats], Floats],
        config: TuneConfig,
    ) -> None:  # fmt: skip
        self._cache, self._whole, self._sampler = cache, whole, sampler
        self._compute_fine, self._config = compute_fine, config
        self._threads = ThreadPoolExecutor(THREADS)

    def __call__(self, step: int) -> tuple[Floats, list[Floats]]:
        """-> (batch, 28, 28, 48), [a*, b* (batch, 28, 28, 2), the same], CIE units."""
        rng = np.random.default_rng([self._config.seed, step, 2])
        rows = np.sort(self._sampler.draw(self._config.batch_size, rng))
        is_whole = rng.random(len(rows)) < self._config.whole_share
        maps, ab = self._whole.batch(rows)
        fine = np.asarray(maps[0], np.float32)
        mirrored = is_whole & (rng.random(len(rows)) < 0.5)
        for values in (fine, ab):
            values[mirrored] = values[mirrored][:, :, ::-1]
        if not is_whole.all():
            fine[~is_whole], ab[~is_whole] = self._new_views(rows[~is_whole], FIRST_NEW_VIEW + step)
        return fine, [ab, ab]

    def _new_views(self, rows: NDArray[np.intp], number: int) -> tuple[Floats, Floats]:
        views = list(self._threads.map(lambda row: photo_view(self._cache.pixels[row], int(row), number), rows))
        colours = np.stack(list(self._threads.map(place_colours, views))).astype(np.float32)
        return self._compute_fine(np.stack([view.grey for view in views])[..., None]), colours


def fine_maps(layers: Layers) -> Callable[[Floats], Floats]:
    """Computes maps of stride 8 of grey (n, 224, 224, 1), 0..255."""
    weights = [(tf.cast(kernel, COMPUTED_IN), tf.cast(bias, COMPUTED_IN)) for kernel, bias in layers[:FINE_LAYERS]]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def compute(grey: Any) -> Any:
        return tf.cast(fine_map(tf.cast(grey, COMPUTED_IN), weights), tf.float32)

    return lambda grey: np.asarray(compute(tf.constant(grey)))


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
