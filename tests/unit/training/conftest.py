"""Small photographs made on the spot: nothing here needs the photos that training uses."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from worker.training.data.photo_cache import PhotoCache, build_cache

Pixels = NDArray[np.uint8]


def colour_photo(seed: int, height: int = 128, width: int = 160) -> Pixels:
    """A smooth scene of one hue, with light and shade: (height, width, 3), RGB."""
    rng = np.random.default_rng(seed)
    light = cv2.resize(rng.uniform(0.2, 1, (6, 8)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    tint = np.array([[230, 120, 60], [70, 130, 240]][seed % 2])
    return np.asarray(np.clip(light[..., None] * tint, 0, 255), np.uint8)


def write_photo(path: Path, photo: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), photo[..., ::-1])


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Forty colour photos in a folder."""
    for number in range(40):
        write_photo(tmp_path / "photos" / "hues" / f"{number:02}.png", colour_photo(number))
    return tmp_path / "photos"


@pytest.fixture
def cache(photo_folder: Path, tmp_path: Path) -> PhotoCache:
    return build_cache([photo_folder], tmp_path / "cache")
