"""InceptionResNetV2 with its batch norms folded into the weights: a plain function of images and a list of weights.

The network is that of `keras.applications` (Szegedy et al., arXiv:1602.07261), convolution for convolution. Building
that model with its 782 layers takes seconds; tracing this function takes a fraction of this. A test checks that both
give the same logits. Sizes at the line ends are those of a 299x299 image.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

Tensor = Any  # a tensor of whichever Keras backend is in use
Weights = Sequence[tuple[Tensor, Tensor]]  # kernel and bias of each layer, in the order that they are applied

_PART_BYTES = 20 * 2**20
LAYERS = 245  # 244 convolutions and the dense layer of the class logits


def feature_maps(images: Tensor, weights: Weights) -> tuple[Tensor, ...]:
    """Images (batch, side, side, 3), -1..1, side >= 75 -> feature maps at strides 8, 16 and 32.

    (batch, 35, 35, 320), (batch, 17, 17, 1088), (batch, 8, 8, 1536); `weights` are those of the convolutions.
    """
    layers, x, maps = iter(weights), images, []
    for blocks in _STRIDES:
        for block in blocks:
            x = block.apply(x, layers)
        maps.append(x)
    return tuple(maps)


def parts(weights: Weights) -> list[tuple[Callable[[Tensor, Weights], Tensor], Weights]]:
    """The way from images to the last feature map as functions in a row, each with its weights, about 20 MB of them."""
    functions: list[tuple[Callable[[Tensor, Weights], Tensor], Weights]] = []
    waiting: list[_Block] = []
    start = used = 0
    for block in (block for blocks in _STRIDES for block in blocks):
        waiting.append(block)
        used += block.layers
        part = weights[start:used]
        if sum(kernel.nbytes for kernel, _ in part) >= _PART_BYTES or used == len(weights):
            functions.append((partial(_applied, blocks=tuple(waiting)), part))
            waiting, start = [], used
    return functions


def _applied(x: Tensor, weights: Weights, blocks: "Sequence[_Block]") -> Tensor:
    layers = iter(weights)
    for block in blocks:
        x = block.apply(x, layers)
    return x


def fold(model: keras.Model) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The weights of a `keras.applications` InceptionResNetV2, each batch norm folded into its convolution.

    Returns kernel and bias of each layer in the order that the network applies them.
    """
    norms = [*_numbered(model, keras.layers.BatchNormalization), model.get_layer("conv_7b_bn")]
    waiting = iter(norms)
    folded = [
        plain_weights(layer) if layer.use_bias else fold_norm(layer.get_weights()[0], next(waiting))
        for layer in _convolutions(model)
    ]
    return [*folded, plain_weights(model.get_layer("predictions"))]


def fold_norm(kernel: NDArray[np.float32], norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A kernel (..., channels) without bias and the batch norm after it -> a kernel and a bias with the same effect."""
    scale = 1 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma)
    bias = np.asarray(norm.beta) - np.asarray(norm.moving_mean) * scale
    return np.asarray(kernel * scale, np.float32), np.asarray(bias, np.float32)


def plain_weights(layer: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of a layer that has both."""
    kernel, bias = layer.get_weights()
    return np.asarray(kernel, np.float32), np.asarray(bias, np.float32)


def _convolutions(model: keras.Model) -> Iterator[Any]:
    """The 244 convolutions in the order of the network. Keras numbers those without a name."""
    numbered = _numbered(model, keras.layers.Conv2D)
    yield from islice(numbered, 5 + 7)  # stem, mixed_5b
    for family, blocks, branches, reduction in (("block35", 10, 6, 4), ("block17", 20, 4, 7), ("block8", 10, 4, 0)):
        for block in range(1, blocks + 1):
            yield from islice(numbered, branches)
            yield model.get_layer(f"{family}_{block}_conv")
        yield from islice(numbered, reduction)
    yield model.get_layer("conv_7b")


def _numbered(model: keras.Model, layer_type: Any) -> Iterator[Any]:
    """The layers of this kind that Keras named by number (conv2d, conv2d_1, ...), in order."""
    pattern = re.compile(r"[a-z0-9_]*?(?:2d|normalization)(?:_(\d+))?")
    numbered = [
        (int(match[1] or 0), layer)
        for layer in model.layers
        if isinstance(layer, layer_type) and (match := pattern.fullmatch(layer.name))
    ]
    return iter([layer for _, layer in sorted(numbered, key=lambda pair: pair[0])])


def _stem(x: Tensor, layers: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """(batch, 299, 299, 3) -> (batch, 35, 35, 192)."""
    x = _convolution(x, layers, strides=2, padding="valid")  # (batch, 149, 149, 32)
    x = _convolution(x, layers, padding="valid")  # (batch, 147, 147, 32)
    x = _convolution(x, layers)  # (batch, 147, 147, 64)
    x = ops.max_pool(x, 3, strides=2)  # (batch, 73, 73, 64)
    x = _convolution(x, layers, padding="valid")  # (batch, 73, 73, 80)
    x = _convolution(x, layers, padding="valid")  # (batch, 71, 71, 192)
    return ops.max_pool(x, 3, strides=2)  # (batch, 35, 35, 192)


def _mixed_5b(x: Tensor, layers: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """(batch, 35, 35, 192) -> (batch, 35, 35, 320)."""
    branches = [_branch(x, layers, depth) for depth in (1, 2, 3)]
    pooled = ops.average_pool(x, 3, strides=1, padding="same")
    return ops.concatenate([*branches, _convolution(pooled, layers)], axis=-1)


def _residual_block(
    x: Tensor, layers: Iterator[tuple[Tensor, Tensor]], depths: Sequence[int], scale: float, last: bool = False
) -> Tensor:
    """x + scale * (branches of these depths, projected to x's channels). The network's last block has no ReLU."""
    mixed = ops.concatenate([_branch(x, layers, depth) for depth in depths], axis=-1)
    x = x + scale * _convolution(mixed, layers, relu=False)
    return x if last else ops.relu(x)


def _reduction(x: Tensor, layers: Iterator[tuple[Tensor, Tensor]], depths: Sequence[int]) -> Tensor:
    """Halves the side: branches of these depths that end with stride 2, and a pooling with stride 2."""
    branches = [_branch(x, layers, depth, last_strides=2) for depth in depths]
    return ops.concatenate([*branches, ops.max_pool(x, 3, strides=2)], axis=-1)


def _branch(x: Tensor, layers: Iterator[tuple[Tensor, Tensor]], depth: int, last_strides: int = 1) -> Tensor:
    """`depth` convolutions, one after the other."""
    for _ in range(depth - 1):
        x = _convolution(x, layers)
    return _convolution(x, layers, strides=last_strides, padding="same" if last_strides == 1 else "valid")


def _convolution(
    x: Tensor, layers: Iterator[tuple[Tensor, Tensor]], strides: int = 1, padding: str = "same", relu: bool = True
) -> Tensor:
    """The next convolution of the list, with its bias and ReLU."""
    kernel, bias = next(layers)
    x = ops.conv(x, kernel, strides=strides, padding=padding) + bias
    return ops.relu(x) if relu else x


@dataclass(frozen=True)
class _Block:
    layers: int  # how many convolutions it takes
    apply: Callable[[Tensor, Iterator[tuple[Tensor, Tensor]]], Tensor]


def _residual(depths: Sequence[int], scale: float, last: bool = False) -> _Block:
    return _Block(sum(depths) + 1, partial(_residual_block, depths=depths, scale=scale, last=last))


# The blocks that lead to each feature map, in order.
_STRIDES = (
    (_Block(5, _stem), _Block(7, _mixed_5b), *[_residual((1, 2, 3), scale=0.17)] * 10),
    (_Block(4, partial(_reduction, depths=(1, 3))), *[_residual((1, 3), scale=0.1)] * 20),
    (
        _Block(7, partial(_reduction, depths=(2, 2, 3))),
        *[_residual((1, 3), scale=0.2)] * 9,
        _residual((1, 3), scale=1.0, last=True),
        _Block(1, _convolution),
    ),
)
