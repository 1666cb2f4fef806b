import ml_dtypes
import numpy as np

from worker.model.classifiers.features import MAP_CHANNELS
from worker.training.data.folds import folds_by_source
from worker.training.fitting.cross_fit import CrossFitConfig, predict_out_of_fold, r2_of
from worker.training.views.map_cache import ViewMaps
from worker.training.views.view_places import ViewPlaces

PHOTOS = 24


def view(shift: float) -> ViewMaps:
    """Maps whose first channel tells the photo's a*, which is positive in every second photo; noise in the others."""
    rng = np.random.default_rng(int(shift))
    hues = np.where(np.arange(PHOTOS) % 2, 1.0, -1.0)
    maps = [
        rng.normal(size=(PHOTOS, side, side, channels)).astype(ml_dtypes.bfloat16)
        for side, channels in zip((28, 14, 7), MAP_CHANNELS, strict=True)
    ]
    for one in maps:
        one[..., 0] = hues[:, None, None]
    ab = np.stack([20 * hues + shift, np.full(PHOTOS, shift)], axis=-1)
    return ViewMaps((maps[0], maps[1], maps[2]), np.broadcast_to(ab[:, None, None], (PHOTOS, 28, 28, 2)).astype("f2"))


def test_a_row_is_a_photo_in_a_view() -> None:
    places = ViewPlaces([view(0), view(5)], np.arange(PHOTOS))
    rows, numbers = np.array([3, PHOTOS + 3]), np.array([[0, 195], [0, 195]])

    assert places.colours(rows, numbers).tolist() == [[[20, 0], [20, 0]], [[25, 5], [25, 5]]]
    assert places.inputs(rows, numbers).shape == (2, 2, places.width)


def test_views_are_predicted_by_models_of_other_sources() -> None:
    views = [view(0), view(5)]
    sources = np.array([f"box{number // 6}" for number in range(PHOTOS)])
    names = np.array([f"{source}/{number}.jpg" for number, source in enumerate(sources)])
    folds = folds_by_source(names, sources, np.arange(PHOTOS), 2).in_every_view(len(views))
    places = ViewPlaces(views, np.arange(PHOTOS))
    config = CrossFitConfig(epochs=100, photos=16, places=16, dropout=0.1, learning_rate=3e-3)

    predicted = predict_out_of_fold(places, folds, np.ones(2 * PHOTOS), np.zeros(0, np.intp), config, print)

    assert r2_of(predicted, places, np.arange(2 * PHOTOS)) > 0.7
