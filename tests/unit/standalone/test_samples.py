"""The demo's sample scans: what is in them, and that every machine gets the same ones."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from skimage.color import rgb2lab

from scheduler.standalone.samples import ORIGINALS, SCANS, Sample, psnr, rgb_pixels, write_samples

Made = tuple[Path, list[Sample]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("samples")
    return folder, write_samples(folder)


def opened(made: Made, *, suffix: str = "") -> dict[str, Image.Image]:
    """Every readable scan, opened by Pillow, which is not the library that wrote it."""
    folder, samples = made
    keys = [sample.key for sample in samples if not sample.planted_failure and sample.key.endswith(suffix)]
    return {key: Image.open(folder / SCANS / key) for key in keys}


def test_there_are_at_least_twelve_readable_scans_and_nothing_else_in_the_bucket(made: Made) -> None:
    folder, samples = made
    in_bucket = {str(path.relative_to(folder / SCANS)) for path in (folder / SCANS).rglob("*") if path.is_file()}
    assert in_bucket == {sample.key for sample in samples}
    assert sum(not sample.planted_failure for sample in samples) >= 12


def test_every_format_and_depth_is_there(made: Made) -> None:
    kinds = {(image.format, image.mode) for image in opened(made).values()}
    assert kinds == {("JPEG", "L"), ("PNG", "L"), ("TIFF", "L"), ("TIFF", "I;16")}


def test_a_16_bit_scan_holds_more_than_8_bits(made: Made) -> None:
    levels = [
        len(np.unique(np.asarray(image))) for image in opened(made, suffix=".tif").values() if image.mode == "I;16"
    ]
    assert min(levels) > 4096


def test_one_scan_has_twelve_megapixels(made: Made) -> None:
    assert max(image.width * image.height for image in opened(made).values()) >= 12_000_000


def test_keys_are_nested_and_one_has_spaces_and_non_ascii_letters(made: Made) -> None:
    keys = [sample.key for sample in made[1]]
    assert len({key.rpartition("/")[0] for key in keys}) >= 4
    assert any(" " in key and not key.isascii() for key in keys)


def test_the_planted_scan_is_truncated_and_the_only_one(made: Made) -> None:
    folder, samples = made
    (planted,) = [sample for sample in samples if sample.planted_failure]
    with pytest.raises(UnidentifiedImageError):
        Image.open(folder / SCANS / planted.key).load()
    for image in opened(made).values():
        image.load()


def test_a_scan_has_the_lightness_of_its_original(made: Made) -> None:
    folder, samples = made
    for sample in samples:
        if sample.original is None or not sample.key.endswith(".png"):
            continue
        grey, colour = rgb_pixels(folder / SCANS / sample.key), rgb_pixels(sample.original)
        assert np.abs(rgb2lab(grey)[..., 0] - rgb2lab(colour)[..., 0]).max() < 0.5  # half a grey level, in L*


def test_originals_are_in_colour_at_the_size_of_their_scan_and_outside_the_bucket(made: Made) -> None:
    folder, samples = made
    for sample in samples:
        if sample.original:
            scan, original = rgb_pixels(folder / SCANS / sample.key), rgb_pixels(sample.original)
            assert scan.shape == original.shape
            assert folder / ORIGINALS in sample.original.parents
            assert np.ptp(original, axis=2).max() > 30


def test_the_same_bytes_every_time(made: Made, tmp_path: Path) -> None:
    write_samples(tmp_path)
    assert _hashes(tmp_path) == _hashes(made[0])


def test_psnr_is_that_of_its_definition() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    assert psnr(black, black + np.uint8(255)) == pytest.approx(0.0)
    assert psnr(black, black + np.uint8(1)) == pytest.approx(48.13, abs=0.01)
    assert psnr(black, black) == float("inf")


def test_psnr_refuses_images_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="one size"):
        psnr(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4, 3), np.uint8))


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
