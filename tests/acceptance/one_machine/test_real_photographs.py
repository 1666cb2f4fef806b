"""`photochrom run` over a hundred scans of photographs of the 1930s and 40s, which are too many for the repository."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from tests.acceptance.command import photochrom
from worker.model.checkpoint import bundled_checkpoint_path, read_card
from worker.scans.reading.film_borders import find_picture

LEVELS = np.arange(256) / 255
SRGB = np.where(LEVELS <= 0.04045, LEVELS / 12.92, ((LEVELS + 0.055) / 1.055) ** 2.4)


PHOTOS = Path(os.environ.get("PHOTOCHROM_TEST_PHOTOS", Path(__file__).parents[4] / "shared" / "photos"))
if not PHOTOS.is_dir():
    pytest.skip(f"no photographs in {PHOTOS}: set PHOTOCHROM_TEST_PHOTOS to their folder", allow_module_level=True)


@pytest.fixture(scope="module")
def scans() -> Path:
    return PHOTOS / "scans"


@pytest.fixture(scope="module")
def outputs(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    run = photochrom("run", scans, "colour", "--format", "tiff", folder=folder, timeout_seconds=900)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "colour"


def lightness(luminance: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """L* of relative luminance (CIE 15:2004)."""
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)


def own_lightness(scan: Image.Image) -> np.ndarray:  # type: ignore[type-arg]
    """L* of a grey scan by its profile. In this collection, the profile is "Gray Gamma 2.2" or there is none."""
    assert scan.mode == "L"
    profiled = "icc_profile" in scan.info
    return np.asarray(lightness(LEVELS**2.2 if profiled else SRGB)[np.asarray(scan)])


@pytest.fixture(scope="module")
def jpeg_outputs(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of six of the scans, as JPEG like their sources."""
    folder = tmp_path_factory.mktemp("jpeg")
    (folder / "scans").mkdir()
    for scan in sorted(scans.glob("*.jpg"))[::17]:
        shutil.copy(scan, folder / "scans")
    run = photochrom("run", "scans", "colour", folder=folder, timeout_seconds=300)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "colour"


def test_all_are_done_at_their_own_size(scans: Path, outputs: Path) -> None:
    sizes = {scan.name: Image.open(scan).size for scan in scans.glob("*.jpg")}

    assert len(sizes) == 100
    assert {output.name.removesuffix(".tif"): Image.open(output).size for output in outputs.glob("*.tif")} == sizes


def test_each_keeps_its_own_lightness_within_rounding_and_is_in_colour(scans: Path, outputs: Path) -> None:
    srgb_grey = lightness(SRGB)
    for scan in sorted(scans.glob("*.jpg")):
        expected = own_lightness(Image.open(scan))
        lab = rgb2lab(np.asarray(Image.open(outputs / f"{scan.name}.tif")))
        in_levels = np.abs(
            np.interp(lab[..., 0], srgb_grey, np.arange(256)) - np.interp(expected, srgb_grey, np.arange(256))
        )
        # Three channels are rounded to 8 bits, each by at most half a level. A few pixels differ by slightly over 1.
        assert (in_levels <= 1.0).mean() > 0.9999, scan.name
        assert np.abs(lab[..., 0] - expected).max() < 0.5, scan.name
        assert np.hypot(lab[..., 1], lab[..., 2]).mean() > 2.0, scan.name


def test_a_jpeg_output_keeps_lightness_as_well_as_jpeg_can(scans: Path, jpeg_outputs: Path) -> None:
    """JPEG rounds luma and chroma once more: the error has no bias, is below 0.3 L* on average, and is above 2 for at
    most one pixel in a thousand.
    """
    outputs = sorted(jpeg_outputs.glob("*.jpg"))
    assert len(outputs) == 6
    for output in outputs:
        scan = Image.open(scans / output.name)
        difference = rgb2lab(np.asarray(Image.open(output)))[..., 0] - own_lightness(scan)
        assert abs(difference.mean()) < 0.05, output.name
        assert np.abs(difference).mean() < 0.3, output.name
        assert np.percentile(np.abs(difference), 99.9) < 2.0, output.name


def test_most_have_a_film_border_around_most_of_the_picture(scans: Path) -> None:
    boxes = []
    for path in sorted(scans.glob("*.jpg")):
        grey = np.asarray(Image.open(path).convert("L"))
        box = find_picture(grey)
        boxes.append(box)
        if box:
            assert box.width * box.height > 0.5 * grey.size, path.name
    assert sum(box is not None for box in boxes) >= 90


def test_the_bundled_checkpoint_was_measured_on_these_photographs() -> None:
    assert read_card(bundled_checkpoint_path()).figures["photos"] == len(list((PHOTOS / "eval").glob("*.jpg")))
