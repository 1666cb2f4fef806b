"""Reports and pages show scans of every kind that a worker reads, also of kinds that libvips alone can't read."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scheduler.report.thumbnails import data_uri
from scheduler.web.pictures import rendering
from tests.unit.scans.conftest import LIMITS, ramp, tiff_bytes

GREY = ramp(64, 96, 16)
SCANS = {
    "12 bits": tiff_bytes(GREY >> 4, bitspersample=12),
    "integers of 32 bits": tiff_bytes(GREY.astype(np.uint32) * 65537),
    "floats of 32 bits": tiff_bytes((GREY / 65535).astype(np.float32)),
    "floats of 64 bits": tiff_bytes(GREY / 65535),
    "zstd": tiff_bytes(GREY, compression="zstd"),
    "planes in tiles": tiff_bytes(np.stack([GREY] * 3), photometric="rgb", planarconfig="separate", tile=(16, 32)),
    "16 bits on white": tiff_bytes(
        np.dstack([GREY, np.full_like(GREY, 65535)]), photometric="minisblack", planarconfig="contig",
        extrasamples=["unassalpha"],
    ),
}  # fmt: skip


def grey_of(jpeg: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("kind", SCANS)
def test_a_picture_of_any_kind_has_its_own_greys(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(SCANS[kind])
    of_report = base64.b64decode(data_uri.thumbnail(path).uri.split(",")[1])
    assert list(tmp_path.iterdir()) == [path]
    rendering.thumbnail(path, "a.tif", LIMITS, "large", tmp_path / "large.jpg")
    levels = rendering.make_pyramid(path, "a.tif", LIMITS, tmp_path / "pyramid.tif").levels
    tile = rendering.tile(tmp_path / "pyramid.tif", 0, 0, 0)
    assert levels[0] == (96, 64)
    for jpeg in (of_report, (tmp_path / "large.jpg").read_bytes(), tile):
        np.testing.assert_allclose(grey_of(jpeg).astype(int), GREY // 257, atol=4)
