import numpy as np

from worker.training.views.photo_looks import BLUE_ONLY, PANCHROMATIC, grey_of, random_emulsion, random_look
from worker.training.views.photo_views import photo_view

RED, BLUE, WHITE = (np.full((4, 4, 3), value, np.uint8) for value in ((200, 0, 0), (0, 0, 200), (255, 255, 255)))


def test_a_plate_that_is_blind_to_red_makes_it_black() -> None:
    assert grey_of(RED, BLUE_ONLY).max() < 2
    assert grey_of(BLUE, BLUE_ONLY).min() > grey_of(BLUE, PANCHROMATIC).max() + 50
    np.testing.assert_allclose(grey_of(WHITE, BLUE_ONLY), 255, atol=0.5)


def test_every_emulsion_keeps_white_white() -> None:
    for seed in range(20):
        weights = random_emulsion(np.random.default_rng(seed))
        assert abs(float(weights.sum()) - 1) < 1e-5
        assert (weights >= 0).all()


def test_a_look_stays_a_grey_picture() -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (32, 48)).astype(np.float32)
    for seed in range(30):
        look = random_look(grey, np.random.default_rng(seed))
        assert look.shape == grey.shape
        assert look.min() >= 0
        assert look.max() <= 255


def test_a_view_is_the_same_each_time() -> None:
    square = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    for number in range(4):
        np.testing.assert_array_equal(photo_view(square, 5, number).grey, photo_view(square, 5, number).grey)
    np.testing.assert_array_equal(photo_view(square, 5, 1).rgb, square[:, ::-1])
    assert (photo_view(square, 5, 2).rgb != photo_view(square, 6, 2).rgb).any()
