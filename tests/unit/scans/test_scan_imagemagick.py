"""Files that ImageMagick writes, and reads back to say what they hold (Debian: imagemagick); skipped without it."""

import itertools
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.programs import IMAGEMAGICK
from tests.unit.scans.conftest import Opener, grey_of, ramp
from worker.errors import ScanError

GREY = ramp(64, 96, bits=16)
BILEVEL = [("-type", "Bilevel", "-depth", "1", "-compress", each) for each in ("none", "Fax", "Group4", "RLE")]

pytestmark = pytest.mark.skipif(IMAGEMAGICK.path() is None, reason=IMAGEMAGICK.absence)


def convert(*arguments: str | Path, given: bytes | None = None) -> bytes:
    run = subprocess.run(["convert", *map(str, arguments)], input=given, capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imagemagick") / "scan.png"
    assert cv2.imwrite(str(path), GREY)
    return path


def read_back(data: bytes, format: str, depth: int) -> NDArray[Any]:
    raw = convert(f"{format}:-", "-colorspace", "Gray", "-depth", str(depth), "-endian", "LSB", "gray:-", given=data)
    return np.frombuffer(raw, np.uint8 if depth == 8 else "<u2").reshape(GREY.shape)


@pytest.mark.parametrize("coding", BILEVEL, ids=lambda coding: coding[-1])
@pytest.mark.parametrize("fill", ["lsb", "msb"])
@pytest.mark.parametrize("polarity", ["min-is-white", "min-is-black"])
def test_black_and_white_is_read_in_any_order_of_bits_and_either_polarity(
    polarity: str, fill: str, coding: tuple[str, ...], scan: Path, opened: Opener
) -> None:
    defined = ["-define", f"quantum:polarity={polarity}", "-define", f"tiff:fill-order={fill}"]
    data = convert(scan, *coding, *defined, "tiff:-")
    np.testing.assert_array_equal(grey_of(opened(data, "a.tif")), read_back(data, "tiff", 8))


@pytest.mark.parametrize("depth", [2, 4, 8, 16])
@pytest.mark.parametrize("coding", ["none", "LZW", "ZIP"])
def test_few_bits_span_black_to_white(depth: int, coding: str, scan: Path, opened: Opener) -> None:
    data = convert(scan, "-colorspace", "Gray", "-depth", str(depth), "-compress", coding, "tiff:-")
    expected = read_back(data, "tiff", 16 if depth == 16 else 8)
    np.testing.assert_array_equal(grey_of(opened(data, "a.tif")), expected)


@pytest.mark.parametrize(("kind", "depth"), list(itertools.product([0, 2, 4, 6], [8, 16])))
def test_an_interlaced_png_is_read(kind: int, depth: int, scan: Path, opened: Opener) -> None:
    defined = ["-define", f"png:color-type={kind}", "-define", f"png:bit-depth={depth}"]
    data = convert(scan, "-interlace", "PNG", *defined, "png:-")
    np.testing.assert_array_equal(grey_of(opened(data, "a.png")), read_back(data, "png", depth))


@pytest.mark.parametrize("depth", [10, 12, 14, 32])
def test_other_depths_are_refused_as_such(depth: int, scan: Path, opened: Opener) -> None:
    data = convert(scan, "-colorspace", "Gray", "-depth", str(depth), "-compress", "none", "tiff:-")
    with pytest.raises(ScanError) as refused:
        opened(data, "a.tif")
    assert refused.value.code == "unsupported"


@pytest.mark.parametrize("depth", [8, 16])
def test_lab_is_refused_as_such(depth: int, scan: Path, opened: Opener) -> None:
    with pytest.raises(ScanError, match="Lab") as refused:
        opened(convert(scan, "-colorspace", "Lab", "-depth", str(depth), "tiff:-"), "a.tif")
    assert refused.value.code == "unsupported"
