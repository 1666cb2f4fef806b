"""Upper blocks of the feature network, trained together with the map."""

import numpy as np
import pytest
from keras import ops

from tests.unit.model.feature_layers import untrained_feature_layers
from worker.model.classifiers.features import LAYERS, feature_maps
from worker.model.place_map import build_map_network
from worker.training.fitting.upper_blocks import build_tuned_network, continue_map, fine_maps, trained_parts


def test_before_training_both_ways_answer_the_same() -> None:
    layers = untrained_feature_layers(with_classifier=True)
    map_network = build_map_network()
    tuned = build_tuned_network(layers)
    continue_map(tuned, map_network)
    grey = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 1)).astype(np.float32)
    tensors = [(ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)) for kernel, bias in layers[:LAYERS]]
    expected = map_network([ops.cast(one, "float32") for one in feature_maps(grey, tensors)])
    result = tuned(fine_maps(layers)(grey))
    for one, other in zip(result, expected, strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(other), abs=0.05)  # fine maps are computed in bfloat16


def test_the_trained_map_and_features_come_out_as_they_went_in() -> None:
    layers = untrained_feature_layers(with_classifier=True)
    tuned = build_tuned_network(layers)
    network, features = trained_parts(tuned, layers)
    assert len(features) == LAYERS
    for one, other in zip(features, layers[:LAYERS], strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    assert np.array_equal(network.get_layer("map_last").kernel, tuned.get_layer("map_last").kernel)
