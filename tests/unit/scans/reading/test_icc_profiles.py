"""Lightness through ICC profiles agrees with the profiles' formulas and with LittleCMS (through Pillow)."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.unit.scans.conftest import Array, Opener, grey_of, pillow_bytes, ramp, tiff_bytes, write_colour
from tests.unit.scans.reading.icc import gamma_curve, grey_profile, parametric_curve, rgb_profile, sampled_curve
from worker.colour.icc_reader import Profile
from worker.colour.lab import luminance_to_lightness, srgb_to_linear
from worker.errors import ScanError

GREY8, GREY16 = ramp(), ramp(bits=16)
HALF_A_LEVEL = 0.25  # of 8-bit grey, in L*
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ADOBE_RGB = rgb_profile(
    gamma_curve(2.19921875),
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]],
)


def lightness_read(grey: Array) -> NDArray[np.float64]:
    return np.asarray(luminance_to_lightness(srgb_to_linear(grey / (255 if grey.itemsize == 1 else 65535))))


CURVES: dict[str, tuple[bytes, Callable[[Any], Any]]] = {
    "linear": (gamma_curve(1.0), lambda v: v),
    "gamma 2.2": (gamma_curve(2.2), lambda v: v ** (round(2.2 * 256) / 256)),
    "gamma, parametric": (parametric_curve(0, 1.8), lambda v: v**1.8),
    "sRGB, parametric": (parametric_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), srgb_to_linear),
    "offset, parametric": (parametric_curve(1, 2.0, 1.25, -0.25), lambda v: np.maximum(1.25 * v - 0.25, 0) ** 2),
    "sampled": (sampled_curve(np.linspace(0, 1, 1024) ** 2), lambda v: v**2),
}


@pytest.mark.parametrize("kind", CURVES)
def test_a_grey_profile_gives_the_scans_real_lightness(kind: str, opened: Opener) -> None:
    curve, formula = CURVES[kind]
    for stored, within in ((GREY8, HALF_A_LEVEL), (GREY16, 0.01)):
        grey = grey_of(opened(tiff_bytes(stored, iccprofile=grey_profile(curve)), "a.tif"))
        assert grey.dtype == stored.dtype
        expected = luminance_to_lightness(formula(stored / np.iinfo(stored.dtype).max))
        assert np.abs(lightness_read(grey) - expected).max() < within


@pytest.mark.parametrize("bits", [8, 16])
def test_an_srgb_profile_on_a_grey_file_changes_nothing(bits: int, opened: Opener) -> None:
    stored = ramp(bits=bits)
    grey = grey_of(opened(tiff_bytes(stored, iccprofile=SRGB), "a.tif"))
    np.testing.assert_allclose(grey.astype(int), stored.astype(int), atol=0 if bits == 8 else 4)


@pytest.mark.parametrize("profile", [SRGB, ADOBE_RGB], ids=["sRGB", "Adobe RGB"])
def test_a_toned_scan_has_the_lightness_of_its_profile(profile: bytes, opened: Opener) -> None:
    toned = (np.dstack([GREY8] * 3) * [1.0, 0.86, 0.65]).round().astype(np.uint8)
    grey = grey_of(opened(tiff_bytes(toned, photometric="rgb", iccprofile=profile), "a.tif"))
    assert np.abs(lightness_read(grey) - _lightness_by_lcms(toned, profile)).max() < 0.8  # its Lab has 8 bits


def test_a_profile_of_another_kind_of_colour_is_refused(opened: Opener) -> None:
    rgb = np.dstack([GREY8] * 3)
    with pytest.raises(ScanError, match="a profile for GRAY; expected grey, RGB or CMYK") as refused:
        opened(tiff_bytes(rgb, photometric="rgb", iccprofile=grey_profile(gamma_curve(2.2))), "a.tif")
    assert refused.value.code == "unsupported"


@pytest.mark.parametrize("cut", [0, 20, 131, 140, 175])
def test_a_damaged_profile_has_no_tables(cut: int) -> None:
    assert Profile(grey_profile(gamma_curve(2.2))[:cut]).luminance_tables(256) is None


DAMAGED = {
    "cut": grey_profile(gamma_curve(2.2))[:100],
    "zeros": bytes(300),
    "three bytes": b"abc",
    "without its tags": grey_profile(gamma_curve(2.2))[:132] + bytes(200),
}


@pytest.mark.parametrize("what", DAMAGED)
@pytest.mark.parametrize("bands", [1, 3])
def test_a_damaged_profile_is_left_out_and_named(what: str, bands: int, opened: Opener, tmp_path: Path) -> None:
    pixels = GREY16 if bands == 1 else np.dstack([GREY16] * 3)
    profile = [(34675, 7, len(DAMAGED[what]), DAMAGED[what], True)]
    photometric = "minisblack" if bands == 1 else "rgb"
    scan = opened(tiff_bytes(pixels, photometric=photometric, extratags=profile), "a.tif")
    np.testing.assert_allclose(grey_of(scan).astype(int), GREY16.astype(int), atol=1)
    assert write_colour(scan, tmp_path, "tiff")[1].lost == (
        "ICC profile (damaged: the scan was read as if it had none)",
    )


def test_a_profile_that_maps_whole_colours_is_no_damaged_one(opened: Opener, tmp_path: Path) -> None:
    cmyk = bytes(pyvips.Image.profile_load("cmyk"))
    scan = opened(pillow_bytes(Image.new("CMYK", (90, 60), (0, 0, 0, 128)), "TIFF", icc_profile=cmyk), "a.tif")
    assert write_colour(scan, tmp_path, "tiff")[1].lost == ()


def _lightness_by_lcms(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.float64]:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    lab = ImageCms.profileToProfile(
        Image.fromarray(rgb), source, ImageCms.createProfile("LAB"), ImageCms.Intent.RELATIVE_COLORIMETRIC, "LAB"
    )
    assert lab is not None
    return np.asarray(lab)[..., 0] * (100 / 255)
