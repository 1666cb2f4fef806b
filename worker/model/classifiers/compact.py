"""The compact embedding: a small residual network with the same input and output as InceptionResNetV2.

InceptionResNetV2 has 56 million weights and takes days to train on a CPU. This network has five million, and takes a
fortieth of the work. Basic residual blocks after He et al., "Deep Residual Learning", arXiv:1512.03385. Sizes at the
line ends are those of a 96x96 image.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from worker.model.classifiers.inception_resnet_v2 import fold_norm, plain_weights
from worker.model.network import EMBEDDING_CLASSES

Tensor = Any
Floats = NDArray[np.float32]
Weights = Sequence[tuple[Tensor, Tensor]]  # kernel and bias of each layer, in the order of the network

STEM_CHANNELS = 32
STAGE_CHANNELS = (48, 96, 192, 384)  # each stage halves the side
LAYERS = 1 + 3 * len(STAGE_CHANNELS) + 1  # stem, a halving and two residual convolutions a stage, the class logits


def build_compact(side_px: int) -> keras.Model:
    """The network for training: images (batch, side, side, 3), -1..1 -> class logits (batch, 1000)."""
    images = keras.Input((side_px, side_px, 3))
    x = _trained(images, STEM_CHANNELS, "stem", strides=2)  # (batch, 48, 48, 32)
    for number, channels in enumerate(STAGE_CHANNELS, start=1):
        # (batch, 24, 24, 48), (batch, 12, 12, 96), (batch, 6, 6, 192), (batch, 3, 3, 384)
        x = _trained(x, channels, f"halve_{number}", strides=2)
        y = _trained(x, channels, f"residual_{number}a")
        y = _trained(y, channels, f"residual_{number}b", relu=False)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (batch, 384)
    return keras.Model(images, layers.Dense(EMBEDDING_CLASSES, dtype="float32", name="predictions")(x), name="compact")


def feature_maps(images: Tensor, weights: Weights) -> tuple[Tensor, ...]:
    """Images (batch, side, side, 3), -1..1 -> feature maps at strides 4, 8, 16 and 32.

    (batch, 24, 24, 48), (batch, 12, 12, 96), (batch, 6, 6, 192), (batch, 3, 3, 384); `weights` are the convolutions'.
    """
    layers_left = iter(weights)
    x = _folded(images, layers_left, strides=2)  # (batch, 48, 48, 32)
    maps = []
    for _ in STAGE_CHANNELS:
        x = _folded(x, layers_left, strides=2)
        y = _folded(_folded(x, layers_left), layers_left, relu=False)
        x = ops.relu(x + y)
        maps.append(x)
    return tuple(maps)


def parts(weights: Weights) -> list[tuple[Callable[[Tensor, Weights], Tensor], Weights]]:
    """The way from images to the last feature map as functions in a row, each with its weights: a single one."""
    return [(lambda images, weights: feature_maps(images, weights)[-1], weights)]


def fold(model: keras.Model) -> list[tuple[Floats, Floats]]:
    """Kernel and bias of each layer of a `build_compact`, in order, with the batch norms folded in."""
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    folded = [fold_norm(layer.get_weights()[0], model.get_layer(f"{layer.name}_norm")) for layer in convolutions]
    return [*folded, plain_weights(model.get_layer("predictions"))]


def _trained(x: Tensor, channels: int, name: str, strides: int = 1, relu: bool = True) -> Tensor:
    x = layers.Conv2D(
        channels, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU()(x) if relu else x


def _folded(x: Tensor, layers_left: Iterator[tuple[Tensor, Tensor]], strides: int = 1, relu: bool = True) -> Tensor:
    kernel, bias = next(layers_left)
    x = ops.conv(x, kernel, strides=strides, padding="same") + bias
    return ops.relu(x) if relu else x
