import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.conftest import colour_photo, write_photo
from worker.training.data.photos import Census, colour_photos, mean_chroma
from worker.training.errors import TrainingError


def test_damaged_tiny_and_grey_photos_are_left_out_and_counted(tmp_path: Path) -> None:
    write_photo(tmp_path / "good.jpg", colour_photo(0))
    write_photo(tmp_path / "tiny.jpg", colour_photo(1, 40, 60))
    write_photo(tmp_path / "grey.jpg", np.repeat(colour_photo(2)[..., :1], 3, axis=-1))
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8 no photo")
    (tmp_path / "notes.txt").write_text("not a photo at all")
    census = Census()
    assert [name for name, _ in colour_photos([tmp_path], census)] == ["good.jpg"]
    assert census == Census(kept=1, damaged=1, tiny=1, grey=1, other=1)
    assert str(census) == "1 photos; left out: 1 damaged, 1 tiny, 1 grey, 1 other files"


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".tif", ".tiff", ".webp", ".bmp", ".avif"])
def test_a_photo_of_every_format_is_read_from_a_folder_and_a_tar(tmp_path: Path, suffix: str) -> None:
    write_photo(tmp_path / "photos" / f"photo{suffix}", colour_photo(0))
    (tmp_path / "photos" / "photo.txt").write_text("its description")
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "photos", ".")
    for source in (tmp_path / "photos", tmp_path / "photos.tar"):
        census = Census()
        assert [photo.shape for _, photo in colour_photos([source], census)] == [(128, 160, 3)]
        assert census == Census(kept=1, other=1)


def test_a_tar_gives_the_same_photos_as_its_folder(photo_folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for path in sorted(photo_folder.rglob("*.png")):
            tar.add(path, path.relative_to(photo_folder))
    from_tar = dict(colour_photos([tmp_path / "photos.tar"], Census()))
    from_folder = dict(colour_photos([photo_folder], Census()))
    assert from_tar.keys() == from_folder.keys()
    np.testing.assert_array_equal(from_tar["hues/03.png"], from_folder["hues/03.png"])


def test_a_source_that_is_neither_folder_nor_tar_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere is neither a folder nor a tar file"):
        list(colour_photos([tmp_path / "nowhere"], Census()))


def test_grey_has_no_chroma() -> None:
    assert mean_chroma(np.full((20, 20, 3), 128, np.uint8)) == pytest.approx(0, abs=0.1)
