"""A JPEG is read as Adobe RGB even if only its EXIF says so; the EXIF of the output says sRGB."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.scans.conftest import Array, Opener, grey_of, pillow_bytes, ramp, write_colour
from tests.unit.scans.reading.test_icc_profiles import ADOBE_RGB
from worker.scans.formats.tiff.exif import read_exif

SEPIA = (np.dstack([ramp()] * 3) * [1.0, 0.8, 0.5]).round().astype(np.uint8)
SRGB, UNCALIBRATED = 1, 0xFFFF


def exif(space: int, index: bytes) -> bytes:
    """EXIF with the two tags ColorSpace and InteropIndex, as cameras write them."""
    main = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    sub = struct.pack("<HHHIIHHIII", 2, 0xA001, 3, 1, space, 0xA005, 4, 1, 56, 0)
    interoperability = struct.pack("<HHHI4sI", 1, 1, 2, 4, index, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + main + sub + interoperability


def jpeg(pixels: Array, said: bytes = b"", profile: bytes | None = None) -> bytes:
    return pillow_bytes(pixels, "JPEG", quality=100, subsampling=0, exif=said, icc_profile=profile)


@pytest.mark.parametrize("pixels", [ramp(), SEPIA], ids=["grey", "toned"])
def test_adobe_rgb_that_exif_alone_says_is_read_as_by_its_profile(pixels: Array, opened: Opener) -> None:
    by_profile = grey_of(opened(jpeg(pixels, profile=ADOBE_RGB), "a.jpg")).astype(int)
    found = grey_of(opened(jpeg(pixels, exif(UNCALIBRATED, b"R03\0")), "a.jpg")).astype(int)
    assert np.abs(found - by_profile).max() <= 1
    assert np.abs(found - grey_of(opened(jpeg(pixels), "a.jpg"))).max() > 2


@pytest.mark.parametrize(("space", "index"), [(SRGB, b"R98\0"), (SRGB, b"R03\0"), (UNCALIBRATED, b"R98\0")])
def test_a_jpeg_whose_exif_does_not_name_adobe_rgb_is_srgb(space: int, index: bytes, opened: Opener) -> None:
    found = grey_of(opened(jpeg(SEPIA, exif(space, index)), "a.jpg"))
    np.testing.assert_array_equal(found, grey_of(opened(jpeg(SEPIA), "a.jpg")))


def test_a_profile_goes_before_what_exif_says(opened: Opener) -> None:
    with_both = jpeg(SEPIA, exif(SRGB, b"R98\0"), profile=ADOBE_RGB)
    np.testing.assert_array_equal(
        grey_of(opened(with_both, "a.jpg")), grey_of(opened(jpeg(SEPIA, profile=ADOBE_RGB), "a.jpg"))
    )


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_the_outputs_exif_says_srgb_in_both_places(format: str, opened: Opener, tmp_path: Path) -> None:
    _, composed = write_colour(opened(jpeg(SEPIA, exif(UNCALIBRATED, b"R03\0")), "a.jpg"), tmp_path, format)
    with Image.open(tmp_path / f"output.{format}") as image:
        said = read_exif(io.BytesIO(image.getexif().tobytes().removeprefix(b"Exif\0\0")))
        assert said.exif[0xA001].number() == SRGB
        block = image.info["exif"]
    assert b"R98\0" in block
    assert b"R03" not in block
    assert composed.lost == ()
