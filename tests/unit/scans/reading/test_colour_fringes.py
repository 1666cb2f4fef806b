"""Fringes, which a scanner makes at edges when its colours do not meet, are no marks and are not kept."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from tests.unit.scans.conftest import LIMITS, pillow_bytes, tiff_bytes
from worker.scans import OpenScan, open_scan_file, probe_pages
from worker.scans.packed_mask import PackedMask
from worker.scans.reading.colour_detection import COLOURED_SHARE, find_own_colours
from worker.scans.reading.scan_file import ScanFile

RED, INK = (200, 30, 40), (40, 50, 120)
LINE = np.s_[60:64, 500:900]  # above the text
THROUGH = np.s_[1203:1207, 500:900]  # through a line of it
Picture = NDArray[np.uint8]


def text_page(size: float, stroke: int) -> Picture:
    """A grey page of 1800 x 2400 pixels with lines of text and a black box."""
    page = np.full((1800, 2400), 238, np.uint8)
    for top in range(140, 1720, 90):
        cv2.putText(page, "Box 12 the quick WILLIAM fox 1936 " * 3, (80, top), 0, size, 30, stroke, cv2.LINE_AA)
    cv2.rectangle(page, (1500, 1000), (2200, 1500), 15, -1)
    return page


def photo() -> Picture:
    grey = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (2400, 2400), interpolation=cv2.INTER_CUBIC), np.uint8)


def misregistered(grey: Picture, across: int, down: int) -> Picture:
    """An RGB page on which red lies so many pixels beside green and blue."""
    height, width = grey.shape
    red = np.pad(grey, 4, mode="edge")[4 - down : 4 - down + height, 4 - across : 4 - across + width]
    return np.dstack([red, grey, grey])


def scan_file(page: Picture, folder: Path, format: str) -> ScanFile:
    """JPEG has half as many samples of colour in each direction; TIFF16 has 16 bits."""
    if format == "JPEG":
        content = pillow_bytes(page, "JPEG", quality=85, subsampling=2)
    else:
        content = tiff_bytes(page.astype(np.uint16) * 257 if format == "TIFF16" else page, photometric="rgb")
    (folder / "source").write_bytes(content)
    return open_scan_file(folder / "source", "a", LIMITS)


def dense_page(height: int, width: int) -> Picture:
    """A yellowed page full of small text, (height, width), as grey."""
    page = np.full((height, width), 238, np.uint8)
    for top in range(30, height - 10, 18):
        cv2.putText(page, "Box 12 the quick WILLIAM fox 1936 " * 6, (10, top), 0, 0.6, 30, 1, cv2.LINE_AA)
    return page


def moved(levels: Picture, across: float, down: float) -> Picture:
    """The picture moved to the right and down by parts of a pixel, which blurs it as a lens does."""
    matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
    size = levels.shape[1], levels.shape[0]
    return np.asarray(cv2.warpAffine(levels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def kept_marks(page: Picture, folder: Path, format: str = "TIFF") -> NDArray[Any]:
    """The weights of the colours that the page's output keeps, 0..255, (height, width)."""
    file = scan_file(page, folder, format)
    colours = find_own_colours(file)
    assert colours.has_marks
    scan = OpenScan(file, probe_pages(file, LIMITS)[0])
    scan.keep_marks(colours)
    assert scan.marks is not None
    return scan.marks[..., 2]


@pytest.mark.parametrize("format", ["TIFF", "TIFF16", "JPEG"])
@pytest.mark.parametrize(("across", "down"), [(1, 0), (2, 0), (0, 1)])
@pytest.mark.parametrize(("size", "stroke"), [(1.0, 2), (1.6, 4)], ids=["thin", "bold"])
def test_fringes_of_text_are_no_marks(
    size: float, stroke: int, across: int, down: int, format: str, tmp_path: Path
) -> None:
    page = misregistered(text_page(size, stroke), across, down)
    colours = find_own_colours(scan_file(page, tmp_path, format))
    assert (colours.has_marks, colours.loss) == (False, None)


@pytest.mark.parametrize("format", ["TIFF", "TIFF16", "JPEG"])
@pytest.mark.parametrize(("across", "down"), [(1, 0), (2, 0), (0, 1), (0, 2)])
def test_fringes_of_a_photo_are_no_marks(across: int, down: int, format: str, tmp_path: Path) -> None:
    colours = find_own_colours(scan_file(misregistered(photo(), across, down), tmp_path, format))
    assert colours.share < COLOURED_SHARE
    assert (colours.has_marks, colours.loss) == (False, None)


@pytest.mark.parametrize(
    ("size", "format"),
    [((600, 450), "TIFF"), ((1400, 1000), "TIFF16"), ((1400, 1000), "JPEG"), ((3300, 2550), "TIFF")],
    ids=str,
)
@pytest.mark.parametrize("across_and_down", [(1, 0), (0, 1), (2, 0), (0, 2)], ids=str)
def test_a_grey_page_full_of_fringes_is_not_in_colour(
    size: tuple[int, int], format: str, across_and_down: tuple[int, int], tmp_path: Path
) -> None:
    file = scan_file(misregistered(dense_page(*size), *across_and_down), tmp_path, format)
    colours = find_own_colours(file)
    assert colours.share < COLOURED_SHARE
    assert (colours.has_marks, colours.loss) == (False, None)


@pytest.mark.parametrize(
    ("red", "blue"), [((0.5, 0.0), (-0.5, 0.0)), ((1.4, -0.6), (-0.7, 1.2)), ((0.0, 1.5), (0.0, -1.5))], ids=str
)
def test_red_and_blue_may_both_miss_green_by_parts_of_a_pixel(
    red: tuple[float, float], blue: tuple[float, float], tmp_path: Path
) -> None:
    grey = dense_page(1400, 1000)
    yellowed = np.dstack([moved(grey, *red), grey * 0.97, moved(grey, *blue) * 0.9]).astype(np.uint8)
    assert find_own_colours(scan_file(yellowed, tmp_path, "TIFF")).share < COLOURED_SHARE


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
@pytest.mark.parametrize("side", [512, 1600])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.parametrize("shift", [0, 2])
def test_a_page_in_colour_stays_in_colour(name: str, side: int, shift: int, format: str, tmp_path: Path) -> None:
    picture = cv2.resize(getattr(data, name)(), (side, side), interpolation=cv2.INTER_AREA)
    page = np.dstack([moved(picture[..., 0], shift, 0), picture[..., 1], picture[..., 2]])
    assert find_own_colours(scan_file(page, tmp_path, format)).share >= COLOURED_SHARE


def test_a_page_of_text_with_a_coloured_picture_stays_in_colour_whatever_its_fringes(tmp_path: Path) -> None:
    page = misregistered(dense_page(1400, 1000), 1, 0)
    page[400:900, 200:700] = cv2.resize(data.coffee(), (500, 500))
    assert find_own_colours(scan_file(page, tmp_path, "TIFF")).share >= COLOURED_SHARE


def test_a_line_on_a_page_full_of_fringes_keeps_its_colour(tmp_path: Path) -> None:
    page = misregistered(dense_page(1400, 1000), 1, 0)
    page[600:606, 300:700] = RED
    weights = kept_marks(page, tmp_path)
    assert np.median(weights[600:606, 300:700]) == 255
    weights[560:646, 260:740] = 0
    assert not weights.any()


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
@pytest.mark.parametrize("place", [LINE, THROUGH], ids=["above", "through"])
@pytest.mark.parametrize("colour", [RED, INK], ids=["red", "ink"])
def test_a_line_on_a_page_with_fringes_keeps_its_colour_and_the_fringes_are_not_kept(
    colour: tuple[int, int, int], place: tuple[slice, slice], format: str, tmp_path: Path
) -> None:
    page = misregistered(text_page(1.0, 2), 1, 0)
    page[place] = colour
    weights = kept_marks(page, tmp_path, format)
    assert np.median(weights[place]) == 255
    rows, columns = place
    weights[rows.start - 40 : rows.stop + 40, columns.start - 40 : columns.stop + 40] = 0
    assert not weights.any()


def test_the_marks_of_a_turned_scan_are_kept_at_their_place(tmp_path: Path) -> None:
    page = misregistered(text_page(1.0, 2), 1, 0)
    page[LINE] = RED
    content = tiff_bytes(page, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    (tmp_path / "source").write_bytes(content)
    file = open_scan_file(tmp_path / "source", "a", LIMITS)
    scan = OpenScan(file, probe_pages(file, LIMITS)[0])
    scan.keep_marks(find_own_colours(file))
    assert scan.marks is not None
    weights = np.rot90(scan.marks[..., 2])
    assert weights[LINE].min() == 255
    assert not weights[200:].any()


@pytest.mark.parametrize("size", [(7, 13), (300, 400), (1, 1)])
def test_a_packed_mask_is_unpacked_as_it_was(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(size) > 0.7
    np.testing.assert_array_equal(PackedMask.of(mask).pixels(), mask)
