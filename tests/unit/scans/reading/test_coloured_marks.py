"""A grey scan keeps small parts in a strong colour, such as a stamp or a pencil line."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.unit.scans.conftest import LIMITS, pillow_bytes, read_with_pillow, tiff_bytes
from worker.scans import OpenScan, OutputOptions, compose, open_scan_file, probe_pages
from worker.scans.reading.colour_detection import COLOURED_SHARE, OwnColours, find_own_colours

RED, BLUE = (200, 30, 40), (30, 60, 190)
_Y, _X = np.mgrid[:300, :400]
GREY = (128 + 60 * np.sin(_X / 30) + 40 * np.cos(_Y / 23)).clip(0, 255).astype(np.uint8)
SEPIA = np.array([1.0, 0.88, 0.7])
STAMP = np.s_[40:85, 50:105]  # 2 % of the picture


def stamped(colour: tuple[int, int, int], tone: Any = 1.0) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = (np.dstack([GREY] * 3) * tone).astype(np.uint8)
    picture[STAMP] = colour
    return picture


def coloured(data: bytes, folder: Path, format: str = "png") -> NDArray[Any]:
    path = folder / "source"
    path.write_bytes(data)
    file = open_scan_file(path, "a", LIMITS)
    colours = find_own_colours(file)
    assert colours.share < COLOURED_SHARE
    scan = OpenScan(file, probe_pages(file, LIMITS)[0])
    if colours.has_marks:
        scan.keep_marks(colours)
    ab = np.full((400, 400, 2), (-10, 20), np.float32)
    compose(scan, scan.model_input(), ab, OutputOptions(format), folder / f"out.{format}")
    return np.zeros(0) if format == "tiff" else read_with_pillow(folder / f"out.{format}")[..., :3].astype(int)


@pytest.mark.parametrize("colour", [RED, BLUE])
@pytest.mark.parametrize("tone", [1.0, SEPIA], ids=["grey", "sepia"])
def test_a_stamp_keeps_its_colour_and_the_rest_gets_the_models(
    colour: tuple[int, int, int], tone: Any, tmp_path: Path
) -> None:
    output = coloured(tiff_bytes(stamped(colour, tone), photometric="rgb"), tmp_path)
    assert np.abs(output[STAMP] - colour).max() <= 6
    rest = output[150:, 150:]
    assert (rest[..., 1] - rest[..., 2]).mean() > 15  # yellowish, as the model says


def test_a_jpegs_stamp_is_kept_too(tmp_path: Path) -> None:
    output = coloured(pillow_bytes(stamped(RED), "JPEG", quality=90), tmp_path)
    assert np.abs(output[50:75, 60:95] - RED).mean() < 6


def test_a_turned_scans_stamp_is_where_it_was(tmp_path: Path) -> None:
    data = tiff_bytes(stamped(RED), photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    output = coloured(data, tmp_path)
    assert np.abs(np.rot90(output)[STAMP] - RED).max() <= 6


def test_sixteen_bits_keep_a_stamp(tmp_path: Path) -> None:
    coloured(tiff_bytes(stamped(RED).astype(np.uint16) * 257, photometric="rgb"), tmp_path, "tiff")
    output = tifffile.imread(tmp_path / "out.tiff")
    assert np.abs(output[STAMP] / 257 - RED).max() <= 6


@pytest.mark.parametrize("tone", [1.0, SEPIA], ids=["grey", "sepia"])
def test_a_scan_without_marks_has_none(tone: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (300, 400, 3))
    picture = (np.dstack([GREY] * 3) * tone + noise).clip(0, 255).astype(np.uint8)
    path = tmp_path / "source"
    path.write_bytes(pillow_bytes(picture, "JPEG", quality=80))
    assert not find_own_colours(open_scan_file(path, "a", LIMITS)).has_marks


def test_lightness_that_the_small_copy_lacks_has_the_tone_of_its_neighbours(tmp_path: Path) -> None:
    picture = (np.full((300, 400, 3), 200) * SEPIA).astype(np.uint8)
    picture[:, 200:] = 80 * SEPIA
    path = tmp_path / "source"
    path.write_bytes(tiff_bytes(picture, photometric="rgb"))
    tones = find_own_colours(open_scan_file(path, "a", LIMITS)).tones
    assert tones is not None
    assert tones[:, 1].min() > 8  # b*: yellow at every lightness, even at black


def test_a_large_scans_marks_are_kept_in_fewer_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.scans.reading.scan.HELD_BYTES", 100_000)
    output = coloured(tiff_bytes(stamped(RED), photometric="rgb"), tmp_path)
    assert np.abs(output[45:80, 55:100] - RED).max() <= 6
    rest = output[150:, 150:]
    assert (rest[..., 1] - rest[..., 2]).mean() > 15


@pytest.mark.parametrize("side", [7, 14])
def test_a_small_stamp_is_kept_too(side: int, tmp_path: Path) -> None:
    """The stamps cover 0.04 % and 0.16 % of the picture."""
    picture = np.dstack([GREY] * 3)
    picture[100 : 100 + side, 200 : 200 + side] = RED
    output = coloured(tiff_bytes(picture, photometric="rgb"), tmp_path)
    assert np.abs(output[102 : 98 + side, 202 : 198 + side] - RED).max() <= 6


def own_colours(picture: NDArray[Any], folder: Path, format: str) -> OwnColours:
    quality = {"quality": 85} if format == "JPEG" else {}
    (folder / "source").write_bytes(pillow_bytes(picture.clip(0, 255).astype(np.uint8), format, **quality))
    return find_own_colours(open_scan_file(folder / "source", "a", LIMITS))


def large(tone: Any, noise: float) -> NDArray[np.float32]:
    """A page of 2400 x 3200 pixels: a grey picture with a tone, and a scanner's noise in each channel."""
    page = np.kron(GREY, np.ones((8, 8), np.uint8))[..., None] * np.asarray(tone, np.float32)
    page = np.broadcast_to(page, (2400, 3200, 3)).astype(np.float32)
    page += np.random.default_rng(0).standard_normal(page.shape, np.float32) * noise
    return page


@pytest.mark.parametrize("colour", [RED, BLUE])
@pytest.mark.parametrize("tone", [1.0, SEPIA], ids=["grey", "sepia"])
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_a_thin_line_on_a_large_scan_is_a_mark(
    colour: tuple[int, int, int], tone: Any, format: str, tmp_path: Path
) -> None:
    picture = large(tone, 4)
    picture[1203:1207, 500:900] = colour
    assert own_colours(picture, tmp_path, format).has_marks


def test_a_thin_line_keeps_its_colour(tmp_path: Path) -> None:
    picture = large(1.0, 2).clip(0, 255).astype(np.uint8)
    picture[1203:1207, 500:900] = RED
    (tmp_path / "source").write_bytes(tiff_bytes(picture, photometric="rgb"))
    file = open_scan_file(tmp_path / "source", "a", LIMITS)
    scan = OpenScan(file, probe_pages(file, LIMITS)[0])
    scan.keep_marks(find_own_colours(file))
    assert scan.marks is not None
    assert scan.marks[1203:1207, 500:900, 2].min() == 255


@pytest.mark.parametrize("tone", [1.0, SEPIA], ids=["grey", "sepia"])
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize("noise", [0, 8])
def test_noise_on_a_large_scan_is_neither_a_mark_nor_a_loss(
    tone: Any, format: str, noise: float, tmp_path: Path
) -> None:
    colours = own_colours(large(tone, noise), tmp_path, format)
    assert (colours.has_marks, colours.loss) == (False, None)


@pytest.mark.parametrize(("blue", "is_kept"), [(14, False), (25, True)])
def test_a_faded_stamp_is_named_as_lost_also_if_a_part_of_its_colour_is_kept(
    blue: int, is_kept: bool, tmp_path: Path
) -> None:
    picture = large(1.0, 2)
    picture[300:500, 400:700] += (-blue, 0, blue)  # 0.8 % of the page
    colours = own_colours(picture, tmp_path, "JPEG")
    assert colours.has_marks == is_kept
    assert colours.loss is not None
    assert re.fullmatch(r"faint colour \(on 0\.[4-8][0-9]% of the scan\)", colours.loss)


def test_a_thin_faint_line_is_named_as_lost(tmp_path: Path) -> None:
    picture = large(1.0, 2)
    picture[1200:1208, 500:900] += (-14, 0, 14)
    colours = own_colours(picture, tmp_path, "TIFF")
    assert not colours.has_marks
    assert colours.loss


def test_a_stamp_that_alone_has_its_lightness_is_a_mark(tmp_path: Path) -> None:
    """Its own colour is then the usual one of that lightness."""
    picture = np.full((300, 400, 3), 240, np.uint8)
    picture[STAMP] = RED
    assert own_colours(picture, tmp_path, "PNG").has_marks
