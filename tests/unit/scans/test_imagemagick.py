"""Files that ImageMagick wrote (see imagemagick/README.md) are read as Pillow and OpenCV read them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.unit.scans.conftest import Opener, grey_of

FOLDER = Path(__file__).with_name("imagemagick")


def files(pattern: str, count: int) -> list[Any]:
    paths = sorted(FOLDER.glob(pattern))
    assert len(paths) == count
    return [pytest.param(path, id=path.stem) for path in paths]


def read_by_pillow(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L") if image.mode == "1" else image)


def read_by_opencv(path: Path) -> NDArray[Any]:
    """The first channel."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return np.atleast_3d(pixels)[..., 0]


@pytest.mark.parametrize("path", files("bilevel-*.tif", 16))
def test_black_and_white_is_read_in_any_order_of_bits_and_either_polarity(path: Path, opened: Opener) -> None:
    np.testing.assert_array_equal(grey_of(opened(path.read_bytes(), "a.tif")), read_by_pillow(path))


@pytest.mark.parametrize("path", files("grey-[248]-*.tif", 9) + files("grey-16-*.tif", 3))
def test_few_bits_span_black_to_white(path: Path, opened: Opener) -> None:
    np.testing.assert_array_equal(grey_of(opened(path.read_bytes(), "a.tif")), read_by_pillow(path))


@pytest.mark.parametrize("path", files("interlaced-*.png", 8))
def test_an_interlaced_png_is_read(path: Path, opened: Opener) -> None:
    np.testing.assert_array_equal(grey_of(opened(path.read_bytes(), "a.png")), read_by_opencv(path))


@pytest.mark.parametrize(("name", "within"), [("10", 128), ("12", 32), ("14", 8), ("32", 0)])
def test_other_depths_become_16_bits(name: str, within: int, opened: Opener) -> None:
    """`within` is a level of the scan, because ImageMagick cuts levels off and does not round them."""
    grey = grey_of(opened((FOLDER / f"grey-{name}-none.tif").read_bytes(), "a.tif"))
    np.testing.assert_allclose(grey.astype(int), read_by_opencv(FOLDER / "ramp.png"), atol=within)


@pytest.mark.parametrize(("name", "levels"), [("lab-8", 255), ("lab-16", 65535)])
def test_lab_has_the_lightness_of_the_same_picture_in_grey(name: str, levels: int, opened: Opener) -> None:
    grey = grey_of(opened((FOLDER / f"{name}.tif").read_bytes(), "a.tif"))
    ramp = read_by_opencv(FOLDER / "ramp.png") / 65535 * levels
    np.testing.assert_allclose(grey.astype(int), ramp, atol=2)
