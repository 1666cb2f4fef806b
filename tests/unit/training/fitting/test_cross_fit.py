from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worker.training.data.feature_maps import CELLS, Features, load_features
from worker.training.data.folds import Folds, folds_by_source
from worker.training.data.photo_cache import PhotoCache
from worker.training.data.photo_places import PhotoPlaces
from worker.training.errors import TrainingError
from worker.training.fitting.cross_fit import CrossFitConfig, predict_out_of_fold, r2_of

BRIEF = CrossFitConfig(epochs=200, photos=8, places=16, dropout=0.1, learning_rate=1e-2)


def folds_of(cache: PhotoCache, count: int = 2) -> Folds:
    return folds_by_source(cache.names, cache.sources, cache.training, count)


def predict(cache: PhotoCache, places: PhotoPlaces, folds: Folds, config: CrossFitConfig = BRIEF) -> np.ndarray:
    return predict_out_of_fold(places, folds, np.ones(len(cache.names)), cache.validation, config, print)


@pytest.fixture
def hues(cache: PhotoCache) -> Features:
    """What a classifier that knows each photo's hue would see at every place (the photos' hues take turns)."""
    numbers = np.array([int(Path(str(name)).stem) for name in cache.names])
    return np.broadcast_to((numbers % 2)[:, None, None, None], (len(numbers), CELLS, CELLS, 1)).astype(np.float16)


def test_photos_are_predicted_from_others(
    cache: PhotoCache, hues: Features, capsys: pytest.CaptureFixture[str]
) -> None:
    places = PhotoPlaces(cache, hues)
    predicted = predict(cache, places, folds_of(cache))
    assert min(r2_of(predicted, places, rows) for rows in (cache.training, cache.validation)) > 0.8
    assert capsys.readouterr().out.count("R2") == 2 + 1


def test_a_photos_own_colours_have_no_part_in_its_prediction(cache: PhotoCache, hues: Features) -> None:
    row, config = int(cache.training[0]), replace(BRIEF, epochs=2)
    places, folds = PhotoPlaces(cache, hues), folds_of(cache)
    before = predict(cache, places, folds, config)
    places.ab[row] *= -1
    after = predict(cache, places, folds, config)
    np.testing.assert_array_equal(before[row], after[row])
    of_other_folds = folds.other_rows(int(folds.numbers[row]))
    assert np.abs(before[of_other_folds] - after[of_other_folds]).max() > 0


def test_a_fold_without_a_photo_is_refused(cache: PhotoCache, hues: Features) -> None:
    with pytest.raises(TrainingError, match="one of 500 folds has no photo; give fewer folds or more photos"):
        predict(cache, PhotoPlaces(cache, hues), folds_of(cache, 500))


def test_features_come_in_the_order_of_the_photos(tmp_path: Path) -> None:
    features = np.arange(2)[:, None, None, None] * np.ones((2, CELLS, CELLS, 3))
    np.savez(tmp_path / "seen.npz", names=["a.jpg", "b.jpg"], features=features)
    assert load_features(tmp_path / "seen.npz", ["b.jpg", "a.jpg"])[:, 0, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ({"names": ["b.jpg"], "features": np.zeros((1, CELLS, CELLS, 3))}, "has no features for 'a.jpg'"),
        (
            {"names": ["a.jpg"], "features": np.zeros((1, 8, 8, 3))},
            r"of shape \(1, 8, 8, 3\); expected \(",
        ),
        ({"names": ["a.jpg"]}, "expected names and features"),
    ],
)
def test_features_that_do_not_fit_are_refused(tmp_path: Path, held: dict[str, object], text: str) -> None:
    np.savez(tmp_path / "seen.npz", **held)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=text):
        load_features(tmp_path / "seen.npz", ["a.jpg"])
