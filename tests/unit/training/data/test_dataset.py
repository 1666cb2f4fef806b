from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.conftest import colour_photo, write_photo
from worker.training.data.photo_cache import PhotoCache, build_cache, is_validation, shrink
from worker.training.errors import TrainingError


def test_a_cached_photo_is_the_photo(cache: PhotoCache) -> None:
    row = cache.names.tolist().index("hues/07.png")
    np.testing.assert_array_equal(cache.photo(row), colour_photo(7))


def test_no_photo_is_both_for_training_and_for_choosing(cache: PhotoCache) -> None:
    assert not set(cache.training) & set(cache.validation)
    assert len(cache.training) + len(cache.validation) == len(cache.names)


def test_a_photo_stays_on_its_side_whatever_else_is_there() -> None:
    share = np.mean([is_validation(f"photo-{number}.jpg") for number in range(4000)])
    assert 0.035 < share < 0.065


def test_a_cache_of_another_folders_photos_is_refused(cache: PhotoCache, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds the photos of \S+/photos, not those of \S+/others; give another"):
        build_cache([tmp_path / "others"], tmp_path / "cache")


def test_a_second_run_opens_the_cache_and_decodes_nothing(cache: PhotoCache, tmp_path: Path) -> None:
    again = build_cache([tmp_path / "photos"], tmp_path / "cache")
    assert again.names.tolist() == cache.names.tolist()
    assert again.by_folder() == {"hues": 40}


def test_a_folder_without_a_colour_photo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="no colour photo found"):
        build_cache([tmp_path / "empty"], tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_reported(photo_folder: Path) -> None:
    with pytest.raises(TrainingError, match="can't be written"):
        build_cache([photo_folder], Path("/dev/full/cache"))


def test_a_large_photo_is_kept_at_a_short_side_of_256() -> None:
    assert shrink(colour_photo(0, 512, 1024)).shape == (256, 384, 3)


def test_too_few_photos_to_keep_one_for_choosing_are_refused(tmp_path: Path) -> None:
    write_photo(tmp_path / "few" / "one.png", colour_photo(0))
    with pytest.raises(TrainingError, match="1 colour photos leave none to choose by"):
        build_cache([tmp_path / "few"], tmp_path / "cache")
