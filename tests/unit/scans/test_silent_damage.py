"""The fuzz run sees an output whose pixels are not its scan's."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.fuzz import odd_files
from tests.fuzz.independent_reader import silent_damage, words_of_loss
from tests.unit.scans.conftest import pillow_bytes, ramp

PICTURE = np.kron(ramp(48, 64), np.ones((4, 4), np.uint8))


def judged(source: bytes, output: NDArray[np.uint8], folder: Path, extension: str = "png") -> str | None:
    (folder / f"source.{extension}").write_bytes(source)
    Image.fromarray(output).save(folder / "output.png")
    return silent_damage(folder / f"source.{extension}", folder / "output.png")


def test_an_output_as_its_source_is_no_fault(tmp_path: Path) -> None:
    assert judged(pillow_bytes(PICTURE, "PNG"), PICTURE, tmp_path) is None
    assert judged(pillow_bytes(PICTURE, "JPEG", quality=75), PICTURE, tmp_path, "jpg") is None


def test_a_hole_of_two_percent_is_a_fault(tmp_path: Path) -> None:
    output = PICTURE.copy()
    output[-28:, -37:] = 0
    assert "in one place" in (judged(pillow_bytes(PICTURE, "PNG"), output, tmp_path) or "")


@pytest.mark.parametrize(
    ("format", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("TIFF", "tif"), ("JPEG2000", "jp2")]
)
def test_an_output_of_a_cut_source_is_a_fault(format: str, extension: str, tmp_path: Path) -> None:
    source = pillow_bytes(PICTURE, format)
    words = judged(source[: len(source) * 3 // 5], PICTURE, tmp_path, extension)
    assert "another reader says" in (words or "")


def test_only_samples_before_a_marker_that_no_jpeg_has_count(tmp_path: Path) -> None:
    source = pillow_bytes(PICTURE, "JPEG", quality=75)
    assert judged(source[:-2] + b"\xff\xf8" + source[-400:], PICTURE, tmp_path, "jpg") is None
    words = judged(source[: len(source) * 3 // 5] + b"\xff\xf8" + source[-400:], PICTURE, tmp_path, "jpg")
    assert "another reader says" in (words or "")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG2000"])
def test_the_fuzz_run_gives_pictures_alpha(format: str) -> None:
    changed = odd_files._alpha(pillow_bytes(PICTURE, format), np.random.default_rng(0))
    with Image.open(io.BytesIO(changed)) as image:
        assert (image.format, image.mode) == (format, "RGBA")
        assert np.ptp(np.asarray(image)[..., 3]) > 100


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_the_fuzz_run_gives_pictures_an_orientation_in_xmp(format: str) -> None:
    changed = odd_files._own_orientation(pillow_bytes(PICTURE, format), np.random.default_rng(0))
    assert b"tiff:Orientation=" in changed
    with Image.open(io.BytesIO(changed)) as image:
        assert image.size == PICTURE.shape[::-1]


def test_a_wrong_number_of_rows_in_a_strip_is_no_loss_but_a_missing_end_is(tmp_path: Path) -> None:
    path, picture = tmp_path / "scan.tif", np.tile(np.arange(96, dtype=np.uint8), (64, 1))
    tifffile.imwrite(path, picture, rowsperstrip=7, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        rows = file.pages.first.tags["RowsPerStrip"]
        place, code = rows.valueoffset, "<H" if rows.dtype == tifffile.DATATYPE.SHORT else "<I"
    struct.pack_into(code, data, place, 9_000)
    path.write_bytes(data)
    assert words_of_loss(path) is None

    path.write_bytes(data[:-200])
    assert "truncated" in (words_of_loss(path) or "")
