"""A colour photograph is in colour whatever its alpha channel holds, in every format that has alpha."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tests.unit.scans.conftest import LIMITS, pillow_bytes, tiff_bytes
from worker.scans import open_scan_file
from worker.scans.reading.colour_detection import COLOURED_SHARE, coloured_share

PHOTOGRAPH: NDArray[np.uint8] = data.astronaut()[::2, ::2]
HEIGHT, WIDTH = PHOTOGRAPH.shape[:2]
ROUND = np.where(np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - HEIGHT / 2)) < HEIGHT / 3, 255, 0).astype(np.uint8)
ALPHAS = {
    "opaque": np.full((HEIGHT, WIDTH), 255, np.uint8),
    "cut out": ROUND,
    "half": np.full((HEIGHT, WIDTH), 130, np.uint8),
    "hiding all": np.zeros((HEIGHT, WIDTH), np.uint8),
}


def in_depth(pixels: NDArray[Any], kind: str) -> NDArray[Any]:
    return {"8": pixels, "16": pixels.astype(np.uint16) * 257, "float": (pixels / 255).astype(np.float32)}[kind]


def files(pixels: NDArray[Any]) -> dict[str, bytes]:
    """RGBA in each format that has alpha in this depth."""

    def tiff(**options: Any) -> bytes:
        return tiff_bytes(pixels, photometric="rgb", extrasamples=["unassalpha"], **options)

    apart = tiff_bytes(
        pixels.transpose(2, 0, 1).copy(), photometric="rgb", extrasamples=["unassalpha"], planarconfig="separate"
    )
    found = {"tiff": tiff(), "tiff tiles": tiff(tile=(32, 32)), "tiff apart": apart}
    if pixels.dtype != np.float32:
        found |= {"png": bytes(imagecodecs.png_encode(pixels))}
        found |= {"jp2": bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True))}
    if pixels.dtype == np.uint8:
        found |= {"webp": pillow_bytes(Image.fromarray(pixels), "WEBP", lossless=True, exact=True)}
    return found


CASES = [
    (f"{format}, {depth} bits, {alpha}", file)
    for depth in ("8", "16", "float")
    for alpha, channel in ALPHAS.items()
    for format, file in files(in_depth(np.dstack([PHOTOGRAPH, channel]), depth)).items()
]


@pytest.mark.parametrize(("name", "file"), CASES, ids=[name for name, _ in CASES])
def test_a_photo_with_alpha_is_in_colour_if_the_same_photo_without_alpha_is(
    name: str, file: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "scan"
    path.write_bytes(file)
    assert coloured_share(open_scan_file(path, "a", LIMITS)) >= COLOURED_SHARE


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("depth", ["8", "16", "float"])
def test_greys_with_alpha_stay_grey(alpha: str, depth: str, tmp_path: Path) -> None:
    grey = np.dstack([PHOTOGRAPH[..., 1]] * 3 + [ALPHAS[alpha]])
    for file in files(in_depth(grey, depth)).values():
        path = tmp_path / "scan"
        path.write_bytes(file)
        assert coloured_share(open_scan_file(path, "a", LIMITS)) < COLOURED_SHARE
