import keras
import numpy as np
import pytest

from worker.errors import CheckpointError
from worker.model.classifiers.features import MAP_SHAPES
from worker.model.network import HEADS, Head, build_network
from worker.model.norm_folding import assign, fold_network, for_head


def shaken(model: keras.Model) -> keras.Model:
    """The model, with batch norms as they could be after training."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.beta.shape[0]
            gamma, beta, mean = rng.uniform(0.5, 1.5, channels), rng.normal(size=channels), rng.normal(size=channels)
            layer.set_weights([gamma, beta, mean * 0.2, rng.uniform(0.5, 2, channels)])
    return model


@pytest.mark.parametrize("head", ["paper", "vivid"])
def test_a_folded_network_gives_what_the_trained_one_gave(head: Head) -> None:
    trained, folded = shaken(build_network(head, 32)), build_network(head, 32, batch_norm=False)
    assign(folded, fold_network(trained))
    rng = np.random.default_rng(1)
    inputs = [rng.uniform(-1, 1, (2, 32, 32, 1)).astype("f"), rng.random((2, 1000)).astype("f")]
    np.testing.assert_allclose(np.asarray(folded(inputs)), np.asarray(trained(inputs, training=False)), atol=1e-4)


def test_a_folded_network_with_a_map_gives_what_the_trained_one_gave() -> None:
    trained = shaken(build_network("both", 32, features="lite2"))
    kernel = trained.get_layer("fusion_map").kernel
    kernel.assign(np.random.default_rng(2).normal(0, 0.1, kernel.shape))
    folded = build_network("both", 32, batch_norm=False, features="lite2")
    assign(folded, fold_network(trained))
    rng = np.random.default_rng(1)
    inputs = [rng.uniform(-1, 1, (2, 32, 32, 1)).astype("f"), rng.random((2, 1000)).astype("f")]
    inputs += [rng.normal(size=(2, *shape)).astype("f") for shape in MAP_SHAPES]
    for result, expected in zip(folded(inputs), trained(inputs, training=False), strict=True):
        np.testing.assert_allclose(np.asarray(result), np.asarray(expected), atol=2e-3)


def test_two_heads_trained_together_serve_one_by_one() -> None:
    weights = fold_network(build_network("both", 32))
    for head in HEADS:
        assign(build_network(head, 32, batch_norm=False), for_head(weights, head))


def test_weights_of_another_network_are_refused() -> None:
    weights = fold_network(build_network("vivid", 32))
    with pytest.raises(CheckpointError, match="do not fit the network at .*head_"):
        assign(build_network("paper", 32, batch_norm=False), weights)


def test_weights_of_another_shape_are_refused() -> None:
    weights = fold_network(build_network("paper", 32))
    weights["encoder_1.kernel"] = np.zeros((3, 3, 3, 64), np.float32)
    with pytest.raises(CheckpointError, match=r"encoder_1.kernel has the shape \(3, 3, 3, 64\)"):
        assign(build_network("paper", 32, batch_norm=False), weights)
