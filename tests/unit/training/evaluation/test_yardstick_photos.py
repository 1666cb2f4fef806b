from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.model.colorizer import Colorizer, HeadColours
from worker.training.evaluation import yardstick_photos
from worker.training.views.photo_looks import BLUE_ONLY
from worker.training.views.square_cache import SquareCache

RED = (200, 60, 50)


class OneColour:
    """Answers with one colour everywhere and keeps the lightness that it saw."""

    heads = ("paper",)

    def __init__(self, ab: tuple[float, float]) -> None:
        self._ab = ab
        self.seen: list[float] = []

    def predict_heads(self, lightness: NDArray[np.float32]) -> HeadColours:
        self.seen.append(float(lightness.mean()))
        ab = np.broadcast_to(np.asarray(self._ab, np.float32), (*lightness.shape, 2))
        return HeadColours({"paper": ab}, np.full(len(lightness), np.nan, np.float32))


@pytest.fixture
def cache() -> SquareCache:
    """Two photos of one red, the upper half of their squares."""
    pixels = np.full((2, 64, 64, 3), RED, np.uint8)
    pixels[:, 32:] = 0
    boxes = np.array([[0, 0, 64, 32]] * 2)
    return cast(SquareCache, SimpleNamespace(
        sources=np.array(["olympus"] * 2), side_px=64, pixels=pixels, boxes=boxes,
    ))  # fmt: skip


def measure(model: OneColour, cache: SquareCache, *plate: Any) -> yardstick_photos.SourceFigures:
    return yardstick_photos.measure(cast(Colorizer, model), cache, *plate)["paper"]["olympus"]


def test_grey_is_no_improvement_over_grey_and_the_right_colour_is(cache: SquareCache) -> None:
    assert measure(OneColour((0, 0)), cache).psnr_above_grey == pytest.approx(0)
    right = measure(OneColour((54.0, 36.0)), cache)  # about what the red is, in CIE units
    assert right.errors["all"].gain > 0.9
    assert right.psnr_above_grey > 10
    assert right.spread == pytest.approx(0, abs=1e-3)
    assert right.hue_spread == pytest.approx(0, abs=0.1)


def test_a_plate_that_is_blind_to_red_shows_it_dark(cache: SquareCache) -> None:
    panchromatic, blind = OneColour((0, 0)), OneColour((0, 0))
    measure(panchromatic, cache)
    measure(blind, cache, BLUE_ONLY)
    assert blind.seen[0] < panchromatic.seen[0] / 1.5
