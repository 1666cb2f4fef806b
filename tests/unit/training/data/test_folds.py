import numpy as np
import pytest

from worker.training.data.folds import NO_FOLD, Folds, folds_by_source


def divide(count: int, **photos: int) -> tuple[Folds, np.ndarray]:
    """The folds of sources with so many photos, and the source of each photo."""
    sources = np.array([source for source, number in photos.items() for _ in range(number)])
    names = np.array([f"{source}/{row}.jpg" for row, source in enumerate(sources)])
    return folds_by_source(names, sources, np.arange(len(names)), count), sources


def sizes(folds: Folds) -> list[int]:
    return sorted(len(folds.rows(number)) for number in range(folds.count))


def test_the_photos_of_a_source_are_in_one_fold() -> None:
    folds, sources = divide(4, farms=30, towns=25, rivers=20, ships=20, portraits=15, roads=10)

    assert all(len(set(folds.numbers[sources == source])) == 1 for source in set(sources))
    assert folds.divided_sources == ()
    assert str(folds) == "4 folds of 6 whole sources"


def test_folds_have_nearly_the_same_number_of_photos() -> None:
    folds, _ = divide(4, **{f"box{number}": 10 + number for number in range(20)})

    assert max(sizes(folds)) - min(sizes(folds)) < 10


def test_a_source_that_is_too_large_for_a_fold_is_divided_by_names_and_the_others_stay_whole() -> None:
    folds, sources = divide(4, farms=70, towns=20, rivers=6, ships=4)

    assert folds.divided_sources == ("farms",)
    assert sizes(folds) == [25, 25, 25, 25]
    assert all(len(set(folds.numbers[sources == source])) == 1 for source in ("towns", "rivers", "ships"))
    assert "4 folds of 4 sources; too large for one fold, so divided by photos' names: farms" in str(folds)


@pytest.mark.parametrize("photos", [{"farms": 40}, {"farms": 20, "towns": 20}, {"farms": 20, "towns": 10, "ships": 10}])
def test_no_fold_is_empty_where_there_are_fewer_sources_than_folds(photos: dict[str, int]) -> None:
    folds, _ = divide(4, **photos)

    assert folds.divided_sources
    assert sizes(folds)[0] > 0


def test_two_sources_that_are_nearly_equal_stay_whole_in_two_folds() -> None:
    assert divide(2, farms=60, towns=40)[0].divided_sources == ()


def test_photos_that_are_not_trained_on_are_in_no_fold() -> None:
    names = np.array([f"farms/{row}.jpg" for row in range(10)])
    folds = folds_by_source(names, np.array(["farms"] * 10), np.arange(8), 2)

    assert folds.numbers[8:].tolist() == [NO_FOLD, NO_FOLD]
    assert sorted([*folds.rows(0), *folds.other_rows(0)]) == list(range(8))
