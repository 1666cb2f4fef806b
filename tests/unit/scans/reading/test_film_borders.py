"""Film borders are found where they are, are never found where there are none, and get no colour."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tests.unit.scans.conftest import Opener, colours, pillow_bytes, tiff_bytes
from worker.scans import Box, OutputOptions, compose
from worker.scans.reading import probe as scan_probing
from worker.scans.reading.film_borders import find_picture

Array = NDArray[Any]
PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "rocket")
PICTURE = Box(40, 60, 600, 400)  # within FILM
FILM = (520, 680)  # height, width


def photograph(name: str, width: int = PICTURE.width, height: int = PICTURE.height) -> Array:
    image = Image.fromarray(getattr(data, name)()).convert("L").resize((width, height))
    # On film, no part of a picture is as black as the rebate.
    return (np.asarray(image).astype(int) * 200 // 255 + 45).astype(np.uint8)


def film(name: str = "camera", *, tilt: int = 0) -> Array:
    """A photograph on 35 mm film: rebates, perforations above and below, edge print, a bright scratch at the left."""
    levels = np.random.default_rng(1).normal(18, 2, FILM).clip(0, 255).astype(np.uint8)
    for left in range(10, FILM[1], 48):
        levels[8:30, left : left + 28] = 250
        levels[-30:-8, left : left + 28] = 250
    levels[36:48, 100:180:4] = 220  # print
    levels[:, 3:6] = 180
    levels[PICTURE.top : PICTURE.top + PICTURE.height, PICTURE.left : PICTURE.left + PICTURE.width] = photograph(name)
    return np.asarray(Image.fromarray(levels).rotate(tilt, fillcolor=18)) if tilt else levels


def cut_into(found: Box, shares: float) -> bool:
    """Whether a side of the box is further from the same side of the picture than this share of the film's width."""
    ends = zip(
        (found.left, found.top, found.left + found.width, found.top + found.height),
        (PICTURE.left, PICTURE.top, PICTURE.left + PICTURE.width, PICTURE.top + PICTURE.height),
        strict=True,
    )
    return any(abs(one - other) > shares * FILM[1] for one, other in ends)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("bits", [8, 16])
def test_the_picture_is_found_within_perforations_and_print(name: str, bits: int) -> None:
    grey = film(name) if bits == 8 else film(name).astype(np.uint16) * 257
    found = find_picture(grey)
    assert found is not None
    assert not cut_into(found, 0.01)


def test_a_frame_that_lies_askew_is_not_cut_into() -> None:
    found = find_picture(film(tilt=1))
    assert found is not None
    assert not cut_into(found, 0.02)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_without_borders_has_none(name: str) -> None:
    assert find_picture(photograph(name)) is None
    assert find_picture(np.asarray(Image.fromarray(getattr(data, name)()).convert("L"))) is None


def test_a_night_is_no_border() -> None:
    night = np.full((400, 600), 10, np.uint8)
    night[150:300, 200:420] = photograph("rocket", 220, 150)
    assert find_picture(night) is None


@pytest.mark.parametrize("level", [0, 18, 128, 255])
def test_an_empty_frame_has_no_picture(level: int) -> None:
    assert find_picture(np.full((300, 400), level, np.uint8)) is None
    assert find_picture(np.full((3, 400), level, np.uint8)) is None


@pytest.mark.parametrize("held", [True, False], ids=["held", "streamed"])
@pytest.mark.parametrize("bits", [8, 16])
def test_borders_stay_neutral_and_the_picture_is_in_colour(
    bits: int, held: bool, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held:
        monkeypatch.setattr(scan_probing, "HELD_BYTES", 1)
    scan = opened(tiff_bytes(film() if bits == 8 else film().astype(np.uint16) * 257))
    picture = scan.find_picture()
    assert picture is not None
    assert not cut_into(picture, 0.01)
    ab = np.full((400, 400, 2), 25, np.float32)
    compose(
        scan, scan.model_input(picture=picture), ab, OutputOptions("png" if bits == 8 else "tiff"), tmp_path / "out"
    )
    import pyvips

    output = (pyvips.Image.pngload if bits == 8 else pyvips.Image.tiffload)(str(tmp_path / "out")).numpy().astype(int)
    spread = output.max(axis=2) - output.min(axis=2)
    inside = np.zeros(FILM, bool)
    inside[picture.top : picture.top + picture.height, picture.left : picture.left + picture.width] = True
    full = (1 << bits) - 1
    assert spread[~inside].max() <= 1
    assert (spread[inside] > 0.05 * full).mean() > 0.95


def test_the_model_sees_the_picture_alone(opened: Opener) -> None:
    scan = opened(pillow_bytes(film(), "PNG"), "a.png")
    whole, shown = scan.model_input(), scan.model_input(picture=PICTURE)
    assert whole.picture is None
    assert shown.picture == PICTURE
    assert shown.box == Box(0, 66, 400, 267)
    assert (shown.lightness < 12).mean() < 0.01 < (whole.lightness < 12).mean()


def test_without_a_picture_box_nothing_changes(opened: Opener, tmp_path: Path) -> None:
    scan = opened(pillow_bytes(film(), "PNG"), "a.png")
    compose(scan, scan.model_input(), colours(), OutputOptions("png"), tmp_path / "out")
    output = np.asarray(Image.open(tmp_path / "out")).astype(int)
    assert (output[8:30].max(axis=2) > output[8:30].min(axis=2)).any()
