import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.training.errors import TrainingError
from worker.training.views.duplicates import fingerprint, shows_any
from worker.training.views.square_cache import build_square_cache, letterbox


def make_tar(folder: Path, name: str, count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    path = folder / name
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            photo = folder / f"{number}.png"
            cv2.imwrite(str(photo), rng.integers(0, 255, (60, 90, 3), np.uint8))
            tar.add(photo, f"source_a/{number}.png")
    return path


def test_a_photo_stands_in_its_square_mirrored_around() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    square, (left, top, width, height) = letterbox(photo, 80)
    assert (left, top, width, height) == (0, 20, 80, 40)
    np.testing.assert_array_equal(square[20:60], photo)
    np.testing.assert_array_equal(square[:20], photo[:20][::-1])


def test_photos_are_decoded_once_and_know_their_source(tmp_path: Path) -> None:
    tar = make_tar(tmp_path, "one.tar")
    cache = build_square_cache([tar], tmp_path / "cache", 32)
    assert cache.pixels.shape == (3, 32, 32, 3)
    assert cache.sources.tolist() == ["source_a"] * 3
    again = build_square_cache([tar], tmp_path / "cache", 32)
    np.testing.assert_array_equal(again.pixels, cache.pixels)


def test_a_cache_of_other_photos_is_refused(tmp_path: Path) -> None:
    build_square_cache([make_tar(tmp_path, "one.tar")], tmp_path / "cache", 32)
    with pytest.raises(TrainingError, match=r"holds one\.tar at 32 px, not two\.tar at 32 px"):
        build_square_cache([make_tar(tmp_path, "two.tar")], tmp_path / "cache", 32)


def test_the_same_photo_is_known_again_mirrored() -> None:
    photos = [np.random.default_rng(k).integers(0, 255, (8, 8, 3), np.uint8) for k in range(3)]
    large = [np.asarray(cv2.resize(photo, (64, 64), interpolation=cv2.INTER_CUBIC)) for photo in photos]
    prints = np.stack([fingerprint(photo, (0, 0, 64, 64)) for photo in large])
    mirrored = fingerprint(np.ascontiguousarray(large[1][:, ::-1]), (0, 0, 64, 64))
    assert shows_any(prints, mirrored[None]).tolist() == [False, True, False]
