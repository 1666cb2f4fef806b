"""PNGs are read with the lightness that they declare in gAMA and cHRM, or in a profile that libpng ignores."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.scans.conftest import Array, Opener, grey_of, pillow_bytes, ramp, write_colour
from tests.unit.scans.reading.icc import gamma_curve, rgb_profile
from tests.unit.scans.reading.test_icc_profiles import ADOBE_RGB
from worker.colour.lab import linear_to_srgb
from worker.errors import ScanError

GREY8, GREY16 = ramp(), ramp(bits=16)
LINEAR, SRGB_POWER = 100_000, 45_455
SEPIA = (np.dstack([GREY8] * 3) * [1.0, 0.86, 0.65]).round().astype(np.uint8)
D50_SRGB = [[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
ADOBE_PLACES = (31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)  # white, red, green, blue


def said(png: bytes, **chunks: bytes) -> bytes:
    """A PNG with additional chunks right after its header."""
    packed = b""
    for name, content in chunks.items():
        kind = name.encode()
        packed += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + packed + png[33:]


def gamma(value: int) -> bytes:
    return struct.pack(">I", value)


def by_power(stored: Array, value: int) -> NDArray[np.float64]:
    """Levels of sRGB grey, by the formula of the PNG specification (13.13)."""
    full = np.iinfo(stored.dtype).max
    return np.asarray(linear_to_srgb((stored / full) ** (100_000 / value)) * full)


@pytest.mark.parametrize("value", [LINEAR, 55_556, 30_000])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_gamma_gives_the_scans_real_lightness(bits: int, bands: int, value: int, opened: Opener) -> None:
    stored = ramp(bits=bits)
    pixels = stored if bands == 1 else np.dstack([stored] * bands)
    grey = grey_of(opened(said(imagecodecs.png_encode(pixels), gAMA=gamma(value)), "a.png"))
    assert grey.dtype == stored.dtype
    assert np.abs(grey - by_power(stored, value)).max() < 2


@pytest.mark.parametrize("bands", [1, 3])
def test_srgbs_own_power_stands_for_its_curve(bands: int, opened: Opener) -> None:
    png = imagecodecs.png_encode(GREY16 if bands == 1 else np.dstack([GREY16] * 3))
    np.testing.assert_array_equal(grey_of(opened(said(png, gAMA=gamma(SRGB_POWER)), "a.png")), GREY16)


@pytest.mark.parametrize("bands", [1, 2])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_grey_scan_with_the_profile_of_an_rgb_mode_has_its_lightness(bits: int, bands: int, opened: Opener) -> None:
    """Pillow and scanners write such files, but libpng ignores the profile."""
    stored = ramp(bits=bits)
    png = imagecodecs.png_encode(stored if bands == 1 else np.dstack([stored] * 2))
    profile = rgb_profile(gamma_curve(1.0), D50_SRGB)
    grey = grey_of(opened(said(png, iCCP=b"linear\0\0" + zlib.compress(profile)), "a.png"))
    assert np.abs(grey - by_power(stored, LINEAR)).max() < 2


@pytest.mark.parametrize("content", [b"", b"cut\0\0\1\2", b"none\0\0" + zlib.compress(bytes(300))])
def test_a_damaged_profile_is_left_out_and_named(content: bytes, opened: Opener, tmp_path: Path) -> None:
    scan = opened(said(imagecodecs.png_encode(GREY16), iCCP=content), "a.png")
    np.testing.assert_array_equal(grey_of(scan), GREY16)
    assert write_colour(scan, tmp_path, "png")[1].lost == (
        "ICC profile (damaged: the scan was read as if it had none)",
    )


def test_more_exact_colour_chunks_are_preferred_to_gamma(opened: Opener) -> None:
    png = imagecodecs.png_encode(GREY16)
    for chunks in ({"sRGB": b"\0"}, {"cICP": bytes((1, 13, 0, 1))}):
        np.testing.assert_array_equal(grey_of(opened(said(png, gAMA=gamma(LINEAR), **chunks), "a.png")), GREY16)


def test_the_primaries_of_a_toned_scan_count(opened: Opener) -> None:
    by_chunks = said(pillow_bytes(SEPIA, "PNG"), gAMA=gamma(45_470), cHRM=struct.pack(">8I", *ADOBE_PLACES))
    found = grey_of(opened(by_chunks, "a.png")).astype(int)
    by_profile = grey_of(opened(pillow_bytes(SEPIA, "PNG", icc_profile=ADOBE_RGB), "a.png"))
    np.testing.assert_allclose(found, by_profile, atol=1)
    assert np.abs(found - grey_of(opened(pillow_bytes(SEPIA, "PNG"), "a.png"))).max() > 1


@pytest.mark.parametrize("places", [(0,) * 8, (2**32 - 1,) * 8, (31_270, 32_900, *(30_000,) * 6), (1, 2)])
def test_primaries_that_no_display_has_are_left_out(places: tuple[int, ...], opened: Opener) -> None:
    png = imagecodecs.png_encode(np.dstack([GREY16] * 3))
    data = said(png, gAMA=gamma(LINEAR), cHRM=struct.pack(f">{len(places)}I", *places))
    assert np.abs(grey_of(opened(data, "a.png")) - by_power(GREY16, LINEAR)).max() < 2


@pytest.mark.parametrize("value", [0, 1, 2**32 - 1])
def test_a_gamma_that_can_not_be_is_left_out(value: int, opened: Opener) -> None:
    data = said(imagecodecs.png_encode(GREY16), gAMA=gamma(value))
    np.testing.assert_array_equal(grey_of(opened(data, "a.png")), GREY16)


def test_light_of_a_high_range_is_refused(opened: Opener) -> None:
    with pytest.raises(ScanError, match="cICP 09 10 00 01") as refused:
        opened(said(imagecodecs.png_encode(GREY16), cICP=bytes((9, 16, 0, 1))), "a.png")
    assert refused.value.code == "unsupported"
