"""Turns a checkpoint's network back into its form for training: the inverse of `model.norm_folding`.

So training can begin with a checkpoint, even if its training state is lost. Each norm's mean and variance, which
folding removed, are measured on photos. Before the first step, the network gives the same outputs as the checkpoint.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from worker.model.network import Heads, build_network
from worker.model.norm_folding import assign, for_head

Floats = NDArray[np.float32]

KERNEL_NORM = 2**0.5  # norm of a channel's kernel in a random network, so that Adam moves both equally
FUSION = "fusion_sum"  # the layer before the fusion's norm; the embedding's layer has its bias


def start_at_weights(
    model: keras.Model, heads: Heads, weights: Mapping[str, Floats], make_inputs: Callable[[int], Any], batches: int = 8
) -> None:
    """Puts folded `weights` into a `build_network(heads, batch_norm=True)`.

    `make_inputs(k)` gives batch k's lightness and embeddings, which the norms' statistics are measured on.
    Raises CheckpointError for weights of another network.
    """
    folded = build_network(heads, size=None, batch_norm=False)
    assign(folded, dict(weights) if heads == "both" else for_head(weights, heads))
    for name, (mean, variance) in _statistics(folded, make_inputs, batches).items():
        _set_layer(model, folded, name, mean, variance)
    for name in ("head_paper", "head_vivid"):
        if any(layer.name == name for layer in folded.layers):
            model.get_layer(name).set_weights(folded.get_layer(name).get_weights())


def _statistics(
    folded: keras.Model, make_inputs: Callable[[int], Any], batches: int
) -> dict[str, tuple[Floats, Floats]]:
    """Mean and variance of each channel, by layer, where the trained network has a norm; biases left out."""
    names = [layer.name for layer in folded.layers if _has_norm(layer)]
    watched = keras.Model(folded.input, [folded.get_layer(name).output for name in names])
    sums: list[Any] = [0.0] * len(names)
    squares: list[Any] = [0.0] * len(names)
    for number in range(batches):
        for place, output in enumerate(watched(make_inputs(number), training=False)):
            channels = np.asarray(output, np.float64).reshape(-1, output.shape[-1])
            sums[place] = sums[place] + channels.mean(0) / batches
            squares[place] = squares[place] + np.square(channels).mean(0) / batches
    return {
        name: (np.asarray(sums[k] - _bias(folded, name), np.float32), np.asarray(squares[k] - sums[k] ** 2, np.float32))
        for k, name in enumerate(names)
    }


def _has_norm(layer: keras.Layer) -> bool:
    return layer.name == FUSION or (layer.name.startswith(("encoder_", "decoder_")) and hasattr(layer, "kernel"))


def _bias(folded: keras.Model, name: str) -> Floats:
    layer = folded.get_layer("fusion_embedding" if name == FUSION else name)
    return np.asarray(layer.bias, np.float32)


def _set_layer(model: keras.Model, folded: keras.Model, name: str, mean: Floats, variance: Floats) -> None:
    """Sets the kernel x s, and a norm that divides by s, so that the output is that of the folded layer."""
    norm = model.get_layer("fusion_norm" if name == FUSION else f"{name}_norm")
    kernels = ("fusion_encoder", "fusion_embedding") if name == FUSION else (name,)
    largest = np.asarray(folded.get_layer(kernels[0]).kernel)
    scale = np.float32(KERNEL_NORM) / np.maximum(np.sqrt(np.square(largest).sum(axis=(0, 1, 2))), 1e-6)
    for kernel in kernels:
        model.get_layer(kernel).kernel.assign(np.asarray(folded.get_layer(kernel).kernel) * scale)
    measured = variance * scale**2
    norm.gamma.assign(np.sqrt(measured + norm.epsilon) / scale)
    norm.beta.assign(_bias(folded, name) + mean)
    norm.moving_mean.assign(mean * scale)
    norm.moving_variance.assign(measured)
