import numpy as np
import pytest

from worker.training.evaluation.coherence import hue_spread, smooth_regions

SIDE = 100


def halves(left: float, right: float) -> np.ndarray:
    """Two flat regions with an edge between them."""
    return np.repeat(np.where(np.arange(SIDE) < SIDE // 2, left, right)[None], SIDE, axis=0).astype(np.float32)


def colours(*hues: tuple[float, float]) -> np.ndarray:
    """As many vertical stripes as there are colours."""
    columns = np.arange(SIDE) * len(hues) // SIDE
    return np.repeat(np.asarray(hues, np.float32)[columns][None], SIDE, axis=0)


def test_an_edge_divides_regions_and_grain_does_not() -> None:
    grain = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    assert smooth_regions(halves(30, 80)).max() == 2
    assert smooth_regions(halves(50, 50) + grain).max() == 1


def test_a_wall_of_green_and_orange_has_a_wider_spread_than_two_walls() -> None:
    green_and_orange = colours((-20, 20), (25, 30))
    one_wall, two_walls = smooth_regions(halves(60, 60)), smooth_regions(halves(30, 80))
    assert hue_spread(green_and_orange, one_wall) > 35
    assert hue_spread(green_and_orange, two_walls) == pytest.approx(0, abs=0.1)


def test_one_hue_of_several_strengths_has_no_spread() -> None:
    assert hue_spread(colours((4, 8), (10, 20), (20, 40)), smooth_regions(halves(60, 60))) == pytest.approx(0, abs=0.1)


def test_nearly_grey_regions_say_nothing() -> None:
    assert np.isnan(hue_spread(colours((1, 0), (-1, 0)), smooth_regions(halves(60, 60))))
    assert np.isnan(hue_spread(colours((20, 0)), np.zeros((SIDE, SIDE), np.int32)))
