import numpy as np

from tests.unit.training.conftest import colour_photo
from worker.training.data.augment import Zoom, random_crop, random_tone


def test_a_crop_has_its_size_and_the_photos_colours() -> None:
    photo = colour_photo(0)
    for seed in range(10):
        crop = random_crop(photo, 48, Zoom(48, 300), np.random.default_rng(seed))
        assert crop.shape == (48, 48, 3)
        assert int(crop.min()) >= int(photo.min()) - 12
        assert abs(crop.mean((0, 1)) - photo.mean((0, 1))).max() < 60


def test_the_same_random_numbers_give_the_same_crop() -> None:
    crops = [random_crop(colour_photo(0), 48, Zoom(48, 300), np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(crops[0], crops[1])


def test_crops_differ_and_some_are_mirrored() -> None:
    ramp = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    slopes = []
    for seed in range(20):
        crop = random_crop(ramp, 64, Zoom(64, 64), np.random.default_rng(seed)).astype(int)
        slopes.append(crop[:, 40:50].mean() > crop[:, 14:24].mean())
    assert 0 < sum(slopes) < 20


def test_tone_keeps_black_white_and_order() -> None:
    lightness = np.linspace(0, 100, 11, dtype=np.float32)
    for seed in range(8):
        changed = random_tone(lightness, np.random.default_rng(seed))
        np.testing.assert_allclose(changed[[0, -1]], [0, 100], atol=1e-3)
        assert (np.diff(changed) > 0).all()
