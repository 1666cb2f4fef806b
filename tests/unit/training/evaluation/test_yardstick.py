import numpy as np
import pytest

from worker.training.evaluation.yardstick import colour_errors, places_inside, source_means, yardstick_rows

TINT = (1.6, 7.7)


def errors(result: float | np.ndarray, truth: np.ndarray):  # type: ignore[no-untyped-def, type-arg]
    inside = np.ones(truth.shape[:3], np.float32)
    return colour_errors(np.broadcast_to(np.asarray(result, np.float32), truth.shape), truth, inside, TINT)


@pytest.fixture
def truth() -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).normal((3, 9), 10, (5, 4, 4, 2)).astype(np.float32)


def test_the_tint_has_r2_0_grey_has_gain_0_the_truth_1(truth: np.ndarray) -> None:  # type: ignore[type-arg]
    assert errors(np.asarray(TINT), truth)["all"].r2 == pytest.approx(0)
    assert errors(0.0, truth)["all"].gain == pytest.approx(0)
    assert errors(truth, truth)["all"].r2 == pytest.approx(1)


def test_mean_and_variation_add_up_to_the_whole(truth: np.ndarray) -> None:  # type: ignore[type-arg]
    parts = errors(truth * 0.5 + 2, truth)
    assert parts["mean"].model + parts["varies"].model == pytest.approx(parts["all"].model, rel=1e-4)


def test_only_what_lies_in_the_photo_counts(truth: np.ndarray) -> None:  # type: ignore[type-arg]
    inside = places_inside(np.array([[0, 8, 32, 16]] * 5), 32, 4)
    np.testing.assert_allclose(inside[0], [[0] * 4, [1] * 4, [1] * 4, [0] * 4])
    wrong = truth.copy()
    wrong[:, 0] = 99
    assert colour_errors(wrong, truth, inside)["all"].model == 0


def test_each_source_counts_the_same_however_large() -> None:
    truth = np.full((2, 2, 2, 2), 1, np.float32)
    good, bad = errors(1.0, truth), errors(np.asarray(TINT), truth)
    assert source_means({"a": good, "b": bad, "c": bad, "d": bad})["r2"] == pytest.approx(0.25)


def test_photos_are_spread_over_the_source() -> None:
    sources = np.array(["olympus"] * 1000 + ["bsds500"] * 10)
    rows = yardstick_rows(sources, limit=300)
    assert set(rows) == {"olympus"}
    assert len(rows["olympus"]) == 300
    assert rows["olympus"].max() == 999
