import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scans.conftest import Opener, pillow_bytes, ramp, tiff_bytes
from worker.colour.lab import grey_lightness
from worker.scans import Box
from worker.scans.reading.model_input import box_in_square, fit

SIDES = st.integers(1, 100_000)


@given(SIDES, SIDES)
def test_the_box_keeps_the_scans_proportions_and_touches_two_sides(width: int, height: int) -> None:
    box = box_in_square(width, height, 400)
    assert max(box.width, box.height) == 400
    assert box.width == max(1, round(width * 400 / max(width, height)))
    assert abs(box.left - (400 - box.left - box.width)) <= 1
    assert box.top >= 0
    assert box.top + box.height <= 400


@pytest.mark.parametrize("bits", [8, 16])
def test_the_square_holds_the_scans_lightness(bits: int, opened: Opener) -> None:
    full = (1 << bits) - 1
    flat = np.full((300, 600), round(full * 0.5), np.uint8 if bits == 8 else np.uint16)
    model_input = opened(tiff_bytes(flat)).model_input()
    assert model_input.lightness.dtype == np.float32
    assert model_input.lightness.shape == (400, 400)
    assert model_input.box == Box(0, 100, 400, 200)
    np.testing.assert_allclose(model_input.lightness, grey_lightness(bits)[round(full * 0.5)], atol=1e-4)


def test_around_the_picture_it_is_mirrored(opened: Opener) -> None:
    lightness = opened(tiff_bytes(np.repeat(ramp(200, 400)[:, :1], 400, axis=1))).model_input().lightness
    np.testing.assert_array_equal(lightness[:100], lightness[100:200][::-1])
    np.testing.assert_array_equal(lightness[300:], lightness[200:300][::-1])


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3, 2), (5000, 10)])
def test_extreme_shapes_fill_the_square_without_a_hole(size: tuple[int, int], opened: Opener) -> None:
    lightness = opened(pillow_bytes(np.full(size, 255, np.uint8), "PNG"), "a.png").model_input().lightness
    np.testing.assert_allclose(lightness, 100, atol=1e-4)


def test_a_square_of_another_size_can_be_had(opened: Opener) -> None:
    model_input = opened(tiff_bytes(ramp())).model_input(256)
    assert model_input.lightness.shape == (256, 256)
    assert model_input.box.width == 256


@pytest.mark.parametrize("size", [(1203, 1611), (803, 3207)])
def test_a_large_scan_is_reduced_to_the_mean_of_what_each_pixel_covers(size: tuple[int, int]) -> None:
    height, width = size
    slope = np.add.outer(np.linspace(0, 20000, height), np.linspace(0, 40000, width))
    box = Box(0, 0, 400, round(400 * height / width))

    exact = cv2.resize(slope, (box.width, box.height), interpolation=cv2.INTER_AREA)

    half_a_pixel = (20000 / box.height + 40000 / box.width) / 2
    np.testing.assert_allclose(fit(slope.astype(np.uint16), box), exact, atol=half_a_pixel)
