import numpy as np
import pytest

from worker.model.ab_bins import AB_BIN_CENTRES, class_weights, soft_encode
from worker.model.network import build_network
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.soft_targets import SoftColours, bin_prior, take_back_rebalancing


def test_a_place_gets_the_soft_code_of_its_mean_colour_times_its_bins_weight() -> None:
    prior = np.full(313, 0.5 / 312, np.float32)
    prior[100] = 0.5
    colour = np.array([23.0, -41.0], np.float32)
    given = SoftColours(prior)(np.tile(colour, (1, 8, 8, 1)))
    code = soft_encode(colour)
    assert given.shape == (1, 2, 2, 313)
    np.testing.assert_allclose(given[0, 1, 0], code * class_weights(prior)[code.argmax()], atol=1e-5)


def test_the_prior_is_where_the_photos_colours_are(cache: PhotoCache) -> None:
    prior = bin_prior(cache)
    assert prior.sum() == pytest.approx(1, abs=1e-4)
    photos = {tuple(np.sign(AB_BIN_CENTRES[k])) for k in np.argsort(-prior)[:6]}
    assert (1, 1) in photos or (1, -1) in photos
    assert prior[np.abs(AB_BIN_CENTRES).max(1) > 100].sum() < 0.01


def test_rare_colours_count_less_once_rebalancing_is_taken_back() -> None:
    prior = np.full(313, 0.5 / 312, np.float32)
    prior[100] = 0.5
    model = build_network("vivid", 32)
    take_back_rebalancing(model, prior, share=1.0)
    bias = np.asarray(model.get_layer("head_vivid").bias)
    np.testing.assert_allclose(
        np.exp(bias[100] - bias[0]), class_weights(prior)[0] / class_weights(prior)[100], rtol=1e-4
    )
