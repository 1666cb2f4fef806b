"""Upper blocks of the feature network, trained together with the map."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from keras import ops

from tests.unit.model.feature_layers import untrained_feature_layers
from worker.model.classifiers.features import LAYERS, feature_maps
from worker.model.norm_folding import fold_convolutions
from worker.model.place_map import build_map_network
from worker.training.fitting.joined import joined_weights, map_before_mixing
from worker.training.fitting.upper_blocks import (
    TuneConfig,
    TunedBatches,
    build_tuned_network,
    continue_map,
    fine_maps,
    trained_parts,
)
from worker.training.views.map_cache import place_colours
from worker.training.views.photo_views import photo_view
from worker.training.views.sampling import SourceSampler
from worker.training.views.square_cache import SquareCache


def test_before_training_both_ways_answer_the_same() -> None:
    layers = untrained_feature_layers(with_classifier=True)
    map_network = build_map_network()
    tuned = build_tuned_network(layers)
    continue_map(tuned, fold_convolutions(map_network))
    grey = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 1)).astype(np.float32)
    tensors = [(ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)) for kernel, bias in layers[:LAYERS]]
    expected = map_network([ops.cast(one, "float32") for one in feature_maps(grey, tensors)])
    result = tuned(fine_maps(layers)(grey))
    for one, other in zip(result, expected, strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(other), abs=1e-2)


def test_in_bfloat16_it_answers_nearly_the_same_and_learns_in_float32() -> None:
    layers = untrained_feature_layers(with_classifier=True)
    exact = build_tuned_network(layers)
    mixed = build_tuned_network(layers, mixed_precision="mixed_bfloat16")
    mixed.set_weights(exact.get_weights())
    grey = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 1)).astype(np.float32)
    expected = exact(fine_maps(layers)(grey))
    result = mixed(fine_maps(layers, "mixed_bfloat16")(grey))
    for one, other in zip(result, expected, strict=True):
        scale = float(np.abs(np.asarray(other)).max())
        assert np.asarray(one) == pytest.approx(np.asarray(other), abs=0.05 * scale)
    assert {weight.dtype for weight in mixed.trainable_weights} == {"float32"}


def test_the_trained_map_and_features_come_out_as_they_went_in() -> None:
    layers = untrained_feature_layers(with_classifier=True)
    tuned = build_tuned_network(layers)
    map_weights, features = trained_parts(tuned, layers)
    assert len(features) == LAYERS
    for one, other in zip(features, layers[:LAYERS], strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    assert map_weights.keys() == fold_convolutions(build_map_network()).keys()
    assert np.array_equal(map_weights["map_last.kernel"], np.asarray(tuned.get_layer("map_last").kernel))


def test_a_map_trained_on_small_views_answers_for_large_ones() -> None:
    layers = untrained_feature_layers(with_classifier=True)
    small = build_tuned_network(layers, side_px=96)
    small.get_layer("map_ab").bias.assign([0.3, 0.7])
    large = build_tuned_network(layers)
    large.set_weights(small.get_weights())
    assert large.get_layer("map_ab").bias.numpy() == pytest.approx([0.3, 0.7])
    colours, bins = large(np.zeros((1, 28, 28, 48), np.float32))
    assert (colours.shape, bins.shape) == ((1, 28, 28, 2), (1, 14, 14, 313))


def test_mixing_a_map_with_a_checkpoint_can_be_undone() -> None:
    map_weights = fold_convolutions(build_map_network())
    rng = np.random.default_rng(0)
    fusion = {
        "head_paper.kernel": rng.normal(size=(1, 1, 4, 2)), "head_paper.bias": rng.normal(size=2),
        "head_vivid.kernel": rng.normal(size=(1, 1, 4, 313)), "head_vivid.bias": rng.normal(size=313),
        "fusion_encoder.kernel": rng.normal(size=(1, 1, 4, 8)),
    }  # fmt: skip
    mixed = joined_weights(fusion, map_weights, 0.2, np.zeros(313, np.float32))
    undone = map_before_mixing(mixed, 0.2)
    assert undone.keys() == map_weights.keys()
    for name, value in map_weights.items():
        assert undone[name] == pytest.approx(value, rel=1e-5)


def test_a_batch_shows_whole_photos_and_new_views_with_their_own_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 96, 96, 3), np.uint8)
    cache = SquareCache(np.array(["a/0", "a/1", "b/0"]), np.tile([0, 0, 96, 96], (3, 1)), pixels)
    sampler = SourceSampler.of(cache.sources, np.ones(3, bool))
    config = TuneConfig(batch_size=16, side_px=64, whole_share=1.0)
    batches = TunedBatches(cache, sampler, lambda grey: grey, config)
    grey, (ab, _) = batches(7)
    assert (grey.shape, ab.shape) == ((16, 64, 64, 1), (16, 8, 8, 2))
    assert np.array_equal(batches(7)[0], grey)
    small = [cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA) for photo in pixels]
    whole = [photo_view(photo, 0, mirrored) for photo in small for mirrored in (0, 1)]
    for one, colours in zip(grey, ab, strict=True):
        (same,) = [view for view in whole if np.array_equal(view.grey, one[..., 0])]
        assert np.array_equal(place_colours(same, 8).astype(np.float32), colours)
    new = TunedBatches(cache, sampler, lambda grey: grey, replace(config, whole_share=0.0))(7)[0]
    assert not any(np.array_equal(view.grey, one[..., 0]) for view in whole for one in new)
