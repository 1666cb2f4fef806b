import numpy as np
import pytest

from worker.model.ab_bins import AB_BIN_CENTRES
from worker.model.vivid_head import annealed_mean, certainty


def test_one_certain_bin_gives_its_own_colour_and_full_certainty() -> None:
    logits = np.full((1, 2, 2, 313), -50, np.float32)
    logits[..., 7] = 50
    np.testing.assert_allclose(np.asarray(annealed_mean(logits))[0, 0, 0], AB_BIN_CENTRES[7], atol=1e-3)
    assert float(np.asarray(certainty(logits))[0]) == pytest.approx(1, abs=1e-5)


def test_equal_bins_give_no_certainty() -> None:
    assert float(np.asarray(certainty(np.zeros((1, 2, 2, 313), np.float32)))[0]) == pytest.approx(0, abs=1e-5)


def test_annealing_moves_the_mean_towards_the_likeliest_bin() -> None:
    logits = np.zeros((1, 1, 1, 313), np.float32)
    logits[..., 7] = 4
    distances = [
        np.linalg.norm(np.asarray(annealed_mean(logits, temperature))[0, 0, 0] - AB_BIN_CENTRES[7])
        for temperature in (1.0, 0.38)
    ]
    assert distances[1] < distances[0]
