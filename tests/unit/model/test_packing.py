"""Lightness and colours are packed on their way between a child and the device."""

import numpy as np

from worker.inference.models.fusion_model import FusionModel
from worker.model.checkpoint import bundled_checkpoint_path
from worker.model.colorizer import Colorizer
from worker.model.packing import NOT_FINITE, pack_ab, pack_lightness, unpack_ab, unpack_lightness


def test_lightness_and_colours_come_back_as_they_were_but_for_a_step() -> None:
    dice = np.random.default_rng(3)
    lightness = dice.uniform(0, 100, (400, 400)).astype(np.float32)
    ab = dice.uniform(-128, 128, (400, 400, 2)).astype(np.float32)

    np.testing.assert_allclose(unpack_lightness(pack_lightness(lightness, 400)), lightness, atol=0.001)
    np.testing.assert_allclose(unpack_ab(pack_ab(ab)), ab, atol=0.003)


def test_a_scan_travels_in_a_quarter_of_a_megabyte_both_ways() -> None:
    """The sizes are those of the slots of the bundled checkpoint, with the largest head's colours."""
    size = FusionModel(Colorizer.load(bundled_checkpoint_path(), 1)).slot_size
    lightness = np.full((400, 400), 50, np.float32)
    packed = pack_lightness(lightness, size.lightness_px)
    ab = pack_ab(np.zeros((size.ab_px, size.ab_px, 2), np.float32))

    assert packed.nbytes + ab.nbytes == size.lightness_bytes + size.ab_bytes <= 250_000


def test_lightness_is_averaged_to_the_side_that_is_used() -> None:
    stripes = np.tile(np.array([0, 100], np.float32), (400, 200))

    np.testing.assert_allclose(unpack_lightness(pack_lightness(stripes, 200)), 50, atol=0.001)


def test_colours_are_upsampled_smoothly() -> None:
    ab = np.zeros((2, 2, 2), np.float32)
    ab[:, 1] = 40

    row = unpack_ab(pack_ab(ab), 8)[0, :, 0]

    assert (np.diff(row) >= 0).all()
    np.testing.assert_allclose([row[0], row[-1]], [0, 40], atol=0.003)


def test_values_that_are_not_finite_are_marked_and_too_large_ones_are_limited() -> None:
    packed = pack_ab(np.array([[[np.nan, 400.0]]], np.float32))

    assert packed.tolist() == [[[NOT_FINITE, 32_767]]]
