import numpy as np
import pytest

from worker.training.evaluation.metrics import colourfulness, interval, score


def test_the_right_colours_have_no_error_and_no_difference() -> None:
    rng = np.random.default_rng(0)
    lightness, ab = rng.uniform(30, 70, (32, 32)).astype("f"), rng.uniform(-10, 10, (32, 32, 2)).astype("f")
    figures = score(lightness, ab, ab)
    assert figures["error"] == 0
    assert figures["ciede2000"] == pytest.approx(0, abs=1e-6)
    assert figures["ssim"] == pytest.approx(1)


def test_grey_is_not_colourful_and_pure_colours_are() -> None:
    assert colourfulness(np.full((8, 8, 3), 0.5, np.float32)) == pytest.approx(0)
    colours = np.zeros((8, 8, 3), np.float32)
    colours[:4, :, 0], colours[4:, :, 2] = 1, 1
    assert colourfulness(colours) > 80


def test_the_interval_holds_the_mean_and_narrows_with_more_photos() -> None:
    rng = np.random.default_rng(0)
    few, many = interval(rng.normal(size=20)), interval(rng.normal(size=2000))
    assert few[0] < 0.3
    assert few[1] > -0.3
    assert many[1] - many[0] < few[1] - few[0]
