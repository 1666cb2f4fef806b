import cv2
import numpy as np

from worker.training.views.photo_looks import BLUE_ONLY, PANCHROMATIC, _dusty, grey_of, random_emulsion, random_look
from worker.training.views.photo_views import ODD_VIEW_KEY, photo_view, view_name

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


def test_dust_has_specks_of_several_sizes() -> None:
    sizes = set()
    for seed in range(20):
        dusty = _dusty(np.full((200, 200), 128, np.float32), np.random.default_rng(seed)) != 128
        _, _, figures, _ = cv2.connectedComponentsWithStats(dusty.astype(np.uint8))
        sizes |= set(figures[1:, cv2.CC_STAT_AREA].tolist())
    assert {5, 13} <= sizes  # pixels of a disc with a radius of 1, and of 2


def test_features_of_views_that_were_made_in_another_way_are_not_used() -> None:
    assert view_name(0) == "view-0"  # the photo as it is does not change
    assert view_name(2) == f"view-2-{ODD_VIEW_KEY}"
