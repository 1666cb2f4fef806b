"""The model sees a long scan, wide or tall, as squares along its longer side, and the colours have no seams."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.scans.conftest import Opener, tiff_bytes
from worker.scans import OutputOptions, compose
from worker.scans.writing.upsample import Upsampler

WIDE = (np.random.default_rng(0).integers(0, 255, (40, 400)) // 2 + np.linspace(0, 127, 400)).astype(np.uint8)


@pytest.mark.parametrize(("shape", "squares"), [((100, 100), 1), ((100, 250), 1), ((100, 260), 4), ((100, 1000), 15)])
def test_there_are_as_many_squares_as_are_needed(shape: tuple[int, int], squares: int, opened: Opener) -> None:
    for size in (shape, shape[::-1]):
        assert len(opened(tiff_bytes(np.zeros(size, np.uint8))).model_inputs(64).squares) == squares


def test_no_scan_has_squares_without_number(opened: Opener) -> None:
    assert len(opened(tiff_bytes(np.zeros((2, 40_000), np.uint8))).model_inputs(64).squares) < 30


def test_an_upright_scan_is_seen_as_the_lying_one_turned(opened: Opener) -> None:
    lying, upright = (opened(tiff_bytes(grey)).model_inputs(64) for grey in (WIDE, np.ascontiguousarray(WIDE.T)))
    for one, other in zip(lying.squares, upright.squares, strict=True):
        np.testing.assert_allclose(one.lightness, other.lightness.T, atol=1)


@pytest.mark.parametrize("turned", [False, True])
def test_squares_that_agree_give_the_colours_of_the_whole(turned: bool, opened: Opener) -> None:
    scan = opened(tiff_bytes(np.ascontiguousarray(WIDE.T) if turned else WIDE))
    inputs = scan.model_inputs(64)
    whole = np.broadcast_to(
        np.linspace(-60, 60, inputs.length, dtype=np.float32)[None, :, None], (64, inputs.length, 2)
    )
    parts = [whole[:, start : start + 64] for start in inputs.starts]
    model_input, ab = inputs.joined([part.transpose(1, 0, 2) for part in parts] if turned else parts)
    rows = np.empty((2, scan.height, scan.width), np.float32)
    Upsampler(ab, model_input.box, scan.width, scan.height).rows(0, rows)
    along = rows[0].mean(axis=1 if turned else 0)
    assert np.abs(along - np.linspace(-60, 60, 400)).max() < 1


def test_squares_that_differ_are_blended_without_a_seam(opened: Opener) -> None:
    inputs = opened(tiff_bytes(WIDE)).model_inputs(64)
    levels = np.random.default_rng(1).uniform(-40, 40, len(inputs.squares))
    _, ab = inputs.joined([np.full((64, 64, 2), level, np.float32) for level in levels])
    assert np.abs(np.diff(ab[..., 0], axis=1)).max() < 80 / (64 / 3) * 1.5


def test_a_panorama_is_composed(opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(WIDE))
    inputs = scan.model_inputs(400)
    model_input, ab = inputs.joined([np.full((400, 400, 2), 20, np.float32) for _ in inputs.squares])
    composed = compose(scan, model_input, ab, OutputOptions("tiff"), tmp_path / "out.tif")
    assert (composed.width, composed.height) == (400, 40)
    assert composed.colourfulness > 10
