"""Scans to measure with: grey photographs with film grain, made from the photographs in the standalone packages."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scheduler.standalone.samples import photograph, rgb_pixels

_PHOTOGRAPHS = ("china.jpg", "flower.jpg", "astronaut.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
_GRAIN = 4.0  # of 255; without grain, an enlargement is easier to encode than a scan
_QUALITY = 90
_LARGEST_MEGAPIXELS = 4.0  # larger ones are not made as an array, but enlarged while they are written
_CLASSIC_MEGAPIXELS = 1500.0  # of 16 bits; a TIFF of this size is surely smaller than 4 GB
_WIDE = 4 / 3


def make_scans(folder: Path, count: int, megapixels: float) -> list[Path]:
    """Write `count` grey JPEGs of `megapixels` each, with the same bytes every time.

    Raises UsageError if the photographs are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        grey = _picture(number, megapixels)
        cv2.imwrite(str(path), grey.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        paths.append(path)
    return paths


def make_tiff(path: Path, megapixels: float, compression: str = "none") -> Path:
    """Write a grey TIFF of 16 bits. It is written strip by strip, so it may be larger than the memory."""
    import pyvips

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = pyvips.Image.new_from_array(_picture(0, min(megapixels, _LARGEST_MEGAPIXELS)))
    large = picture.resize((megapixels / min(megapixels, _LARGEST_MEGAPIXELS)) ** 0.5)
    grain = pyvips.Image.gaussnoise(large.width, large.height, sigma=_GRAIN, mean=0, seed=0)
    grey = ((large + grain) * 257).cast("ushort").copy(interpretation="grey16")
    grey.tiffsave(str(path), bigtiff=megapixels > _CLASSIC_MEGAPIXELS, compression=compression, predictor=2)
    return path


def _picture(number: int, megapixels: float) -> NDArray[np.float32]:
    """(height, width), 0..255."""
    grey = cv2.cvtColor(rgb_pixels(photograph(_PHOTOGRAPHS[number % len(_PHOTOGRAPHS)])), cv2.COLOR_RGB2GRAY)
    height = max(1, round((megapixels * 1e6 / _WIDE) ** 0.5))
    width = max(1, round(height * _WIDE))
    large = cv2.resize(grey, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    random = np.random.default_rng(number)
    for rows in np.array_split(large, max(1, height // 512)):
        rows += random.standard_normal(rows.shape, np.float32) * _GRAIN
    clipped: NDArray[np.float32] = np.clip(large, 0, 255, out=large)
    return clipped
