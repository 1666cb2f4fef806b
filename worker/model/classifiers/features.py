"""ImageNet features of each place of a scan: EfficientNet-Lite2's maps of strides 8, 16 and 32.

The embedding describes the whole scan; these maps describe each place. The network is that of Tan and Le, EfficientNet
(arXiv:1905.11946), in its Lite form: no squeeze-and-excitation, ReLU6; batch norms folded away. It is a plain function
of grey images and a list of weights, like `inception_resnet_v2`. Sizes at the line ends are those of a 224x224 image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from keras import ops

from worker.colour.lab_tensors import lightness_to_grey
from worker.model import weights as weight_files
from worker.model.checkpoint import Card
from worker.model.classifiers.grey_input import resized

Tensor = Any  # a tensor of whichever Keras backend is in use
Weights = Sequence[tuple[Tensor, Tensor]]  # kernel and bias of each layer, in the order that they are applied

FEATURES_PX = 224  # the side of the input square
MAP_CHANNELS = (48, 120, 352)  # of strides 8, 16 and 32
MAP_SHAPES = ((28, 28, 48), (14, 14, 120), (7, 7, 352))  # of a square of `FEATURES_PX`
GREY_MIDDLE, GREY_RANGE = 127.0, 128.0  # the network expects (grey - 127) / 128

# For each block: whether it first expands its channels, the side of its depthwise kernel, its stride, its channels.
BLOCKS = (
    (False, 3, 1, 16),
    *((True, 3, 2, 24), (True, 3, 1, 24), (True, 3, 1, 24)),
    *((True, 5, 2, 48), (True, 5, 1, 48), (True, 5, 1, 48)),
    *((True, 3, 2, 88), (True, 3, 1, 88), (True, 3, 1, 88), (True, 3, 1, 88)),
    *((True, 5, 1, 120), (True, 5, 1, 120), (True, 5, 1, 120), (True, 5, 1, 120)),
    *((True, 5, 2, 208), (True, 5, 1, 208), (True, 5, 1, 208), (True, 5, 1, 208), (True, 5, 1, 208)),
    (True, 3, 1, 352),
)
MAPS_AFTER = (6, 14, 20)  # the last block of each stride
FINE_BLOCK = MAPS_AFTER[0]
LAYERS = 1 + sum(3 if expands else 2 for expands, *_ in BLOCKS)  # 63; two more give class logits
FINE_LAYERS = 1 + sum(3 if expands else 2 for expands, *_ in BLOCKS[: FINE_BLOCK + 1])  # 21, those of the fine map


@dataclass(frozen=True)
class FeatureNetwork:
    """The feature network that is ready to run: its folded layers, as arrays or on the device."""

    layers: Weights
    dtype: str = "float32"

    def on_device(self, dtype: str) -> Self:
        """The same network with its weights as tensors, which computes in `dtype`."""
        layers = [
            (ops.convert_to_tensor(kernel, dtype), ops.convert_to_tensor(bias, dtype)) for kernel, bias in self.layers
        ]
        return type(self)(layers, dtype)

    def __call__(self, lightness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L* (batch, side, side, 1), 0..100 -> maps (batch, *MAP_SHAPES[k])."""
        grey = resized(lightness_to_grey(lightness), FEATURES_PX)
        return feature_maps(ops.cast(grey, self.dtype), self.layers)


def load_features(folder: Path, card: Card) -> FeatureNetwork | None:
    """The feature network of the checkpoint in `folder`; None if it has no map.

    Raises CheckpointError for a file that can't be read.
    """
    if card.features is None:
        return None
    return FeatureNetwork(weight_files.read_features(folder, card.features["files"]))


def feature_maps(grey: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
    """sRGB grey (batch, side, side, 1), 0..255, a side of multiples of 32 -> maps of strides 8, 16 and 32.

    (batch, 28, 28, 48), (batch, 14, 14, 120), (batch, 7, 7, 352); `weights`: the first `LAYERS`.
    """
    fine = fine_map(grey, weights[:FINE_LAYERS])
    return fine, *upper_maps(fine, weights[FINE_LAYERS:LAYERS])


def fine_map(grey: Tensor, weights: Weights) -> Tensor:
    """Grey as `feature_maps` -> the map of stride 8 (batch, 28, 28, 48), by the first `FINE_LAYERS` weights."""
    layers = iter(weights)
    x = ops.repeat((grey - GREY_MIDDLE) / GREY_RANGE, 3, axis=-1)
    x = _convolution(x, layers, strides=2)  # (batch, 112, 112, 32)
    for expands, _, stride, channels in BLOCKS[: FINE_BLOCK + 1]:
        x = _block(x, layers, expands, stride, channels)
    return x


def upper_maps(fine: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """The map of stride 8 -> those of strides 16 and 32, by the weights from `FINE_LAYERS` to `LAYERS`."""
    layers, x, maps = iter(weights), fine, []
    for number, (expands, _, stride, channels) in enumerate(BLOCKS[FINE_BLOCK + 1 :], FINE_BLOCK + 1):
        x = _block(x, layers, expands, stride, channels)
        if number in MAPS_AFTER:
            maps.append(x)
    middle, coarse = maps
    return middle, coarse


def class_logits(grey: Tensor, weights: Weights) -> Tensor:
    """Grey as for `feature_maps` -> logits of ImageNet's classes (batch, 1000).

    `weights` must contain the last two layers too.
    """
    return class_logits_of(feature_maps(grey, weights[:LAYERS])[-1], weights[LAYERS:])


def class_logits_of(coarse: Tensor, weights: Weights) -> Tensor:
    """The coarse map (batch, 7, 7, 352) -> logits (batch, 1000), by the network's last two layers."""
    x = _convolution(coarse, iter(weights[:1]))  # (batch, 7, 7, 1280)
    kernel, bias = weights[1]
    return ops.matmul(ops.mean(x, axis=(1, 2)), kernel) + bias


def _block(x: Tensor, layers: Iterator[tuple[Tensor, Tensor]], expands: bool, stride: int, channels: int) -> Tensor:
    """An inverted residual block: expands, applies a depthwise convolution, projects to `channels`, and adds its input
    if the shapes are equal.
    """
    y = _convolution(x, layers) if expands else x
    kernel, bias = next(layers)
    y = ops.depthwise_conv(y, kernel[..., None], strides=stride, padding="same") + bias
    y = ops.relu6(y)
    kernel, bias = next(layers)
    y = _sums(y, kernel) + bias
    return x + y if stride == 1 and x.shape[-1] == channels else y


def _convolution(x: Tensor, layers: Iterator[tuple[Tensor, Tensor]], strides: int = 1) -> Tensor:
    """The next convolution of the list, with its bias and ReLU6."""
    kernel, bias = next(layers)
    return ops.relu6(_sums(x, kernel, strides) + bias)


def _sums(x: Tensor, kernel: Tensor, strides: int = 1) -> Tensor:
    """The convolution of x with this kernel, computed in the kernel's number format, given in that of x."""
    result = ops.conv(ops.cast(x, kernel.dtype), kernel, strides=strides, padding="same")
    return ops.cast(result, x.dtype)
