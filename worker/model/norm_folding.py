"""Folds batch norms into their convolutions: from the network for training to the network for running."""

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from worker.errors import CheckpointError
from worker.model.classifiers.inception_resnet_v2 import fold_norm, plain_weights
from worker.model.network import HEAD_LAYERS, Head

Floats = NDArray[np.float32]


def fold_network(model: keras.Model) -> dict[str, Floats]:
    """The weights of a `build_network(batch_norm=True)`, by layer, for a `build_network(batch_norm=False)`."""
    return fold_convolutions(model) | _fold_fusion(model)


def fold_convolutions(model: keras.Model) -> dict[str, Floats]:
    """Kernel and bias of every convolution except the fusion's, by layer.

    For the map alone, these are all its weights.
    """
    folded: dict[str, Floats] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and not layer.name.startswith("fusion"):
            pair = (
                plain_weights(layer)
                if layer.use_bias
                else fold_norm(np.asarray(layer.get_weights()[0], np.float32), model.get_layer(f"{layer.name}_norm"))
            )
            folded[f"{layer.name}.kernel"], folded[f"{layer.name}.bias"] = pair
    return folded


def _fold_fusion(model: keras.Model) -> dict[str, Floats]:
    """One norm follows the sum of the fusion's parts.

    So each kernel is scaled, and the embedding's layer gets the bias.
    """
    norm = model.get_layer("fusion_norm")
    of_places, _ = fold_norm(np.asarray(model.get_layer("fusion_encoder").get_weights()[0]), norm)
    of_scan, bias = fold_norm(np.asarray(model.get_layer("fusion_embedding").get_weights()[0]), norm)
    folded = {"fusion_encoder.kernel": of_places, "fusion_embedding.kernel": of_scan, "fusion_embedding.bias": bias}
    if any(layer.name == "fusion_map" for layer in model.layers):
        of_map, _ = fold_norm(np.asarray(model.get_layer("fusion_map").get_weights()[0]), norm)
        folded["fusion_map.kernel"] = of_map
    return folded


def plain_network_weights(model: keras.Model) -> dict[str, Floats]:
    """The weights of a `build_network(batch_norm=False)` by layer, in the form for `assign`."""
    return {
        _key(layer, variable): np.asarray(variable, np.float32) for layer in model.layers for variable in layer.weights
    }


def for_head(weights: Mapping[str, Floats], head: Head) -> dict[str, Floats]:
    """The weights without those of the heads that are not used."""
    unused = {name for other, names in HEAD_LAYERS.items() if other != head for name in names}
    return {name: value for name, value in weights.items() if name.split(".")[0] not in unused}


def assign(model: keras.Model, weights: Mapping[str, Floats]) -> None:
    """Puts folded weights into a `build_network(batch_norm=False)`.

    Raises CheckpointError for a layer that is missing, left over, or of another shape.
    """
    variables = {_key(layer, variable): variable for layer in model.layers for variable in layer.weights}
    odd = sorted(variables.keys() ^ weights.keys())
    if odd:
        raise CheckpointError(f"the weights do not fit the network at {', '.join(odd[:3])}; train or export them again")
    for name, variable in variables.items():
        if tuple(variable.shape) != weights[name].shape:
            raise CheckpointError(
                f"{name} has the shape {weights[name].shape}, the network needs {tuple(variable.shape)}; "
                "train or export it again"
            )
        variable.assign(weights[name])


def _key(layer: keras.Layer, variable: keras.Variable) -> str:
    return f"{layer.name}.{variable.name}"
