"""Crops and looks that are made on the training device."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.unit.training.conftest import colour_photo
from worker.colour import lab_tensors
from worker.colour.lab import rgb_to_lab
from worker.training.augmentation import crop_batches
from worker.training.augmentation.crop_batches import CropBatches
from worker.training.augmentation.draws import Zoom, draw_looks, draw_placements
from worker.training.augmentation.looks import blurred, compressed, old_lightness
from worker.training.augmentation.photo_store import PhotoStore
from worker.training.augmentation.placement import crops
from worker.training.augmentation.textures import dust_textures, grain_textures
from worker.training.data.photo_cache import PhotoCache

ROWS = np.arange(8)
CODE = """
import sys
import numpy as np
from worker.training.augmentation.crop_batches import CropBatches
from worker.training.augmentation.draws import Zoom
from worker.training.data.photo_cache import PhotoCache
photos = np.random.default_rng(3).integers(0, 255, (8, 128, 160, 3), np.uint8)
cache = PhotoCache(np.arange(8).astype(str), np.tile([128, 160], (8, 1)), np.arange(8) * 61440, photos.ravel(), {})
made = CropBatches(cache, 48, Zoom(50, 200), 0.5)(np.arange(8), np.random.default_rng(1))
np.savez(sys.argv[1], lightness=np.asarray(made.lightness), ab=np.asarray(made.ab))
"""


def test_colours_are_those_of_the_arrays_formulas() -> None:
    rgb = np.random.default_rng(0).uniform(0, 1, (5, 6, 3)).astype(np.float32)
    lightness, ab = lab_tensors.linear_to_lab(lab_tensors.srgb_to_linear(rgb))
    expected = rgb_to_lab(rgb)
    np.testing.assert_allclose(lightness, expected[..., 0], atol=0.01)
    np.testing.assert_allclose(ab, expected[..., 1:], atol=0.05)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_whole_photo_is_read_as_it_is(cache: PhotoCache, on_device: bool) -> None:
    boxes = np.tile([16, 0, 128, 128], (8, 1))
    place = draw_placements(boxes, 128, Zoom(128, 128), np.ones(8, bool), np.random.default_rng(0))
    pixels = np.asarray(PhotoStore(cache, on_device).rows(ROWS, place["level"]))
    result = np.asarray(crops(pixels, cache.shapes[ROWS].astype(np.int32), place, 128))
    for row, crop in enumerate(result):
        square = cache.photo(row)[:, 16:144].astype(np.float32)
        crop = crop if place["turn"][row, 0, 0] > 0 else crop[:, ::-1]
        np.testing.assert_allclose(crop, square, atol=0.01)


def test_a_crop_at_a_quarter_is_the_mean_of_its_pixels(cache: PhotoCache) -> None:
    boxes = np.tile([16, 0, 128, 128], (8, 1))
    place = draw_placements(boxes, 32, Zoom(32, 32), np.ones(8, bool), np.random.default_rng(0))
    assert place["level"].tolist() == [2] * 8
    pixels = PhotoStore(cache, False).rows(ROWS, place["level"])
    result = np.asarray(crops(pixels, cache.shapes[ROWS].astype(np.int32), place, 32))
    small = cv2.resize(cache.photo(3)[:, 16:144], (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    crop = result[3] if place["turn"][3, 0, 0] > 0 else result[3][:, ::-1]
    np.testing.assert_allclose(crop, small, atol=2)


def test_the_same_random_numbers_give_the_same_crops(cache: PhotoCache) -> None:
    make = CropBatches(cache, 48, Zoom(48, 300), looks=0.5)
    one, other = (make(ROWS, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.lightness, other.lightness)
    assert np.asarray(one.lightness).shape == (8, 48, 48, 1)
    assert np.abs(np.asarray(one.lightness)).max() <= 1.001


def test_looks_change_the_lightness_and_not_the_colours(cache: PhotoCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_batches, "LETTERBOXED_SHARE", 0)  # so that both show the same parts of the photos
    old, plain = (CropBatches(cache, 48, Zoom(48, 300), looks)(ROWS, np.random.default_rng(3)) for looks in (1.0, 0.0))
    assert np.isfinite(np.asarray(old.lightness)).all()
    assert (np.abs(np.asarray(old.lightness) - np.asarray(plain.lightness)).max((1, 2, 3)) > 0.01).all()
    np.testing.assert_allclose(old.ab, plain.ab, atol=1e-5)
    assert np.abs(np.asarray(old.ab)).max() > 0.1


def test_a_plate_that_is_blind_to_red_makes_it_black() -> None:
    look = draw_looks(1, np.random.default_rng(0))
    neutral = {"gamma": [1.0], "contrast": [1.0], "vignette": [0.0], "grain": [0.0], "dust": [0.0], "scratch": [-1.0]}
    look |= {name: np.asarray(value, np.float32) for name, value in neutral.items()}
    look |= {"quality": np.zeros(1, np.float32), "patches": np.ones((1, 4, 4), np.float32)}
    look["emulsion"] = np.array([[0.0, 0.05, 0.95]], np.float32)
    red = np.zeros((1, 16, 16, 3), np.float32)
    red[..., 0] = 0.6
    assert np.asarray(old_lightness(red, look, grain_textures(), dust_textures())).max() < 2


def test_a_blur_of_nothing_and_a_jpeg_of_nothing_change_nothing() -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (2, 20, 20)).astype(np.float32)
    kernels = np.zeros((2, 7), np.float32)
    kernels[:, 3] = 1
    np.testing.assert_allclose(blurred(grey, kernels), grey, atol=1e-3)
    np.testing.assert_array_equal(compressed(grey, np.zeros(2, np.float32)), grey)


def test_a_jpeg_is_close_to_that_of_libjpeg() -> None:
    grey = cv2.cvtColor(colour_photo(0, 64, 64), cv2.COLOR_RGB2GRAY)
    coded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    expected = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.float32)
    result = np.asarray(compressed(grey[None].astype(np.float32), np.full(1, 40, np.float32)))[0]
    assert np.abs(result - expected).mean() < 1


def test_jax_gives_the_crops_that_tensorflow_gives(tmp_path: os.PathLike[str]) -> None:
    pytest.importorskip("jax", reason="needs jax: make test installs it")
    results = []
    for backend in ("tensorflow", "jax"):
        path = f"{tmp_path}/{backend}.npz"
        subprocess.run([sys.executable, "-c", CODE, path], env={**os.environ, "KERAS_BACKEND": backend}, check=True)
        results.append(np.load(path))
    for name in ("lightness", "ab"):
        difference = np.abs(results[0][name] - results[1][name])
        assert np.quantile(difference, 0.99) < 1e-3
