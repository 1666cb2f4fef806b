import numpy as np
import pytest
from numpy.typing import NDArray

from worker.colour.lab import LUMINANCE, grey_lightness, luminance_to_lightness, srgb_to_linear
from worker.colour.lookup_table import LEVELS, STEPS, STEPS_PER_UNIT, ColourTable
from worker.scans.writing.painters import within_table


def colours_at_every_level(a: float, b: float) -> NDArray[np.uint8]:
    """The RGB colours with this a* and b* at every grey level, (256, 3)."""
    a_step, b_step = (int((value + 128) * STEPS_PER_UNIT) for value in (a, b))
    found = np.empty(LEVELS, np.uint32)
    ColourTable().look_up((a_step * STEPS + b_step) * LEVELS + np.arange(LEVELS), found)
    return found.view(np.uint8).reshape(LEVELS, 4)[:, :3]


@pytest.mark.parametrize(("a", "b"), [(0.5, 1), (1.5, 7.5), (-8, 12), (4, -20), (30, 25), (-40, 40), (60, 60)])
def test_no_level_of_grey_is_lost_to_rounding(a: float, b: float) -> None:
    """Each colour is clearly nearer to its own level than to the next; rounding alone could miss by 0.48 levels."""
    lightness = luminance_to_lightness(srgb_to_linear(colours_at_every_level(a, b) / 255) @ LUMINANCE)
    level = np.interp(lightness, grey_lightness(8), np.arange(LEVELS))
    assert np.abs(level - np.arange(LEVELS)).max() < 0.44


def test_grey_stays_grey() -> None:
    np.testing.assert_array_equal(colours_at_every_level(0, 0), np.repeat(np.arange(256)[:, None], 3, axis=1))


def test_colours_beyond_the_table_keep_their_hue() -> None:
    ab = np.array([[[100, 200], [-300, 30], [20, -30]]], np.float32)
    cut = within_table(ab)
    assert np.abs(cut).max() <= 128
    np.testing.assert_allclose(np.arctan2(cut[..., 1], cut[..., 0]), np.arctan2(ab[..., 1], ab[..., 0]), rtol=1e-5)
    np.testing.assert_array_equal(cut[0, 2], ab[0, 2])
