import numpy as np
import pytest
from skimage.color import rgb2lab

from worker.colour import lab
from worker.training.data import photos


def test_white_black_and_red_have_their_known_lab_values() -> None:
    rgb = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0]], np.float32)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]
    np.testing.assert_allclose(lab.rgb_to_lab(rgb), expected, atol=0.02)


def test_rgb_survives_lab_and_back() -> None:
    rgb = np.random.default_rng(0).random((50, 40, 3), np.float32)
    np.testing.assert_allclose(lab.lab_to_rgb(lab.rgb_to_lab(rgb)), rgb, atol=2e-4)


def test_lab_agrees_with_scikit_image() -> None:
    rgb = np.random.default_rng(1).random((30, 30, 3))
    np.testing.assert_allclose(lab.rgb_to_lab(rgb), rgb2lab(rgb), atol=0.03)


@pytest.mark.parametrize("grey", [0, 10, 128, 255])
def test_lightness_gives_back_the_grey_value_it_came_from(grey: int) -> None:
    lightness = lab.rgb_to_lab(np.full(3, grey / 255, np.float32))[0]
    assert float(lab.lightness_to_grey(lightness)) == pytest.approx(grey, abs=0.05)


def test_the_centre_square_is_the_middle_of_a_wide_photo() -> None:
    photo = np.arange(4 * 10).reshape(4, 10)
    np.testing.assert_array_equal(photos.centre_square(photo), photo[:, 3:7])
