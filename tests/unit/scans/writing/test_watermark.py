"""The visible mark is in the picture's corner, in both depths, and is the same for strips of any height."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.unit.scans.conftest import Opener, colours, ramp, tiff_bytes, write_colour
from worker.errors import UsageError
from worker.scans import Box, OutputOptions, compose
from worker.scans.writing.watermark import Label, check_label

TEXT = "Colourized"


@pytest.mark.parametrize("bits", [8, 16])
def test_only_the_corner_differs_and_letters_are_white(bits: int, opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(ramp(300, 500, bits)))
    plain, _ = write_colour(scan, tmp_path, "tiff")
    compose(scan, scan.model_input(), colours(), OutputOptions("tiff", label=TEXT), tmp_path / "labelled.tif")
    labelled = tifffile.imread(tmp_path / "labelled.tif")
    rows, columns = np.nonzero((plain != labelled).any(axis=2))
    assert rows.min() > 275
    assert columns.min() > 420
    plate = labelled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] / np.iinfo(plain.dtype).max
    assert plate.max() == pytest.approx(1.0, abs=0.05)
    assert plate.min() < 0.5  # dark, although the picture is nearly white there
    assert 0.05 < (plate.min(axis=2) > 0.8).mean() < 0.6


def test_it_is_the_same_in_strips_of_any_height() -> None:
    picture = Box(7, 5, 300, 200)
    whole, by_rows = np.full((220, 320, 3), 90, np.uint8), np.full((220, 320, 3), 90, np.uint8)
    label = Label(TEXT, picture)
    label.stamp(0, whole)
    for top in range(0, 220, 3):
        label.stamp(top, by_rows[top : top + 3])
    np.testing.assert_array_equal(whole, by_rows)
    rows, columns = np.nonzero((whole != 90).any(axis=2))
    assert rows.max() < 205
    assert columns.max() < 307


def test_transparent_pixels_under_it_are_seen() -> None:
    pixels = np.zeros((100, 300, 4), np.uint16)
    Label(TEXT, Box(0, 0, 300, 100)).stamp(0, pixels)
    assert set(np.unique(pixels[..., 3])) == {0, 65535}


def test_a_scan_without_room_for_it_says_so(opened: Opener, tmp_path: Path) -> None:
    scan = opened(tiff_bytes(ramp(20, 20)))
    composed = compose(scan, scan.model_input(), colours(), OutputOptions("tiff", label=TEXT), tmp_path / "out.tif")
    assert composed.lost == ("label (there is no room for it)",)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "x" * 81, "\u4e00"])
def test_a_text_that_can_not_be_shown_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--label"):
        check_label(text)
    check_label("Colourized · раскрашено · überarbeitet")
