"""Files that ImageMagick wrote: imagemagick/README.md says how. Pillow and OpenCV read what they hold."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.unit.scans.conftest import Opener, grey_of
from worker.errors import ScanError

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


@pytest.mark.parametrize("path", files("grey-*.tif", 12))
def test_few_bits_span_black_to_white(path: Path, opened: Opener) -> None:
    np.testing.assert_array_equal(grey_of(opened(path.read_bytes(), "a.tif")), read_by_pillow(path))


@pytest.mark.parametrize("path", files("interlaced-*.png", 8))
def test_an_interlaced_png_is_read(path: Path, opened: Opener) -> None:
    np.testing.assert_array_equal(grey_of(opened(path.read_bytes(), "a.png")), read_by_opencv(path))


@pytest.mark.parametrize("path", files("refused-*.tif", 6))
def test_other_depths_and_lab_are_refused_as_such(path: Path, opened: Opener) -> None:
    with pytest.raises(ScanError, match="Lab" if "lab" in path.name else "bit") as refused:
        opened(path.read_bytes(), "a.tif")
    assert refused.value.code == "unsupported"
