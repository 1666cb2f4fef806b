import numpy as np

from worker.model.ab_bins import AB_BIN_CENTRES, class_weights, soft_encode


def test_there_are_313_different_bins() -> None:
    assert len(np.unique(AB_BIN_CENTRES, axis=0)) == 313


def test_a_colour_on_a_bin_weighs_most_there_and_ten_bins_in_all() -> None:
    encoded = soft_encode(AB_BIN_CENTRES[100:101])
    assert encoded.argmax() == 100
    assert np.count_nonzero(encoded) == 10
    np.testing.assert_allclose(encoded.sum(), 1, rtol=1e-5)


def test_a_colour_between_bins_is_their_mean() -> None:
    colour = np.array([[[12.0, 17.0]]], np.float32)
    np.testing.assert_allclose(soft_encode(colour)[0, 0] @ AB_BIN_CENTRES, colour[0, 0], atol=0.5)


def test_rare_colours_weigh_more_and_the_mean_weight_is_one() -> None:
    prior = np.full(313, 0.5 / 312, np.float32)
    prior[0] = 0.5
    weights = class_weights(prior)
    assert weights[0] < weights[1]
    np.testing.assert_allclose((prior * weights).sum(), 1, rtol=1e-5)
