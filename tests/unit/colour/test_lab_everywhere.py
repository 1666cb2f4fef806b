"""Lab is computed by NumPy, OpenCV, libvips and Keras. All of them give the same colours."""

from typing import Any

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from worker.colour import lab, lab_tensors
from worker.scans.reading.grey import to_grey
from worker.training.data import photos

Array = NDArray[Any]


@pytest.fixture
def rgb() -> Array:
    """Random colours, (60, 50, 3) of 8 bits, with black, white and the darkest greys among them."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    pixels[0, :11] = np.r_[0:10, 255][:, None]
    return pixels


@pytest.fixture
def expected(rgb: Array) -> Array:
    return lab.rgb_to_lab(rgb / np.float32(255))


def test_opencv_gives_the_same_lab(rgb: Array, expected: Array) -> None:
    """OpenCV interpolates in a table, which costs a third of a unit at most."""
    np.testing.assert_allclose(photos.to_lab(rgb), expected, atol=0.4)


def test_keras_gives_the_same_lab(rgb: Array, expected: Array) -> None:
    lightness, ab = lab_tensors.linear_to_lab(lab_tensors.srgb_to_linear(np.asarray(rgb, np.float32) / 255))

    np.testing.assert_allclose(np.asarray(lightness), expected[..., 0], atol=0.03)
    np.testing.assert_allclose(np.asarray(ab), expected[..., 1:], atol=0.03)


def test_libvips_gives_the_grey_of_the_same_lightness(rgb: Array, expected: Array) -> None:
    grey = to_grey(pyvips.Image.new_from_array(rgb, interpretation="srgb"), "a.png")
    levels = 255 if grey.format == "uchar" else 65_535

    values = grey.numpy().astype(np.float32) * 255 / levels
    np.testing.assert_allclose(values, lab.lightness_to_grey(expected[..., 0]), atol=0.51)


def test_keras_gives_the_grey_of_the_same_lightness() -> None:
    lightness = np.linspace(0, 100, 1001, dtype=np.float32)
    expected = lab.lightness_to_grey(lightness)

    np.testing.assert_allclose(np.asarray(lab_tensors.lightness_to_grey(lightness)), expected, atol=0.01)
