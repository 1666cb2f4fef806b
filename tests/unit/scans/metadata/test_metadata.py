"""Metadata is copied as far as the format of the output can hold it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit.scans.conftest import LIMITS, Opener, colours, pillow_bytes, ramp, tiff_bytes, write_colour
from worker.scans import OutputOptions, compose, open_scan
from worker.scans.metadata.read import read_metadata

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


def _jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x010E], exif[0x8298], exif[0x0112] = "A street", "Public domain", 6
    return pillow_bytes(ramp(), "JPEG", dpi=(600, 600), exif=exif, xmp=XMP)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_resolution_and_xmp_are_carried_over(format: str, opened: Opener, tmp_path: Path) -> None:
    write_colour(opened(_jpeg(), "a.jpg"), tmp_path, format)
    with Image.open(tmp_path / f"output.{format}") as image:
        assert image.info["dpi"] == pytest.approx((600, 600), abs=0.1)
        assert b"xmpmeta" in bytes(str(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")), "utf-8")


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_exif_is_carried_over_and_says_that_the_pixels_are_upright(format: str, opened: Opener, tmp_path: Path) -> None:
    output, _ = write_colour(opened(_jpeg(), "a.jpg"), tmp_path, format)
    assert output.shape == (90, 60, 3)
    with Image.open(tmp_path / f"output.{format}") as image:
        exif = image.getexif()
        assert (exif[0x010E], exif[0x8298], exif.get(0x0112, 1)) == ("A street", "Public domain", 1)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_the_output_carries_an_srgb_profile_whatever_the_scan_had(format: str, opened: Opener, tmp_path: Path) -> None:
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_colour(opened(tiff_bytes(np.dstack([ramp()] * 3), photometric="rgb", iccprofile=other)), tmp_path, format)
    with Image.open(tmp_path / f"output.{format}") as image:
        data = image.info["icc_profile"]
    assert data[16:20] == b"RGB "
    assert b"sRGB" in data.replace(b"\0", b"")


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "jp2", "webp"])
@pytest.mark.parametrize(("orientation", "expected"), [(3, (204, 98)), (6, (98, 204))])
@pytest.mark.parametrize("source", ["TIFF", "PNG", "WEBP"])
def test_a_scan_that_is_turned_upright_has_its_resolution_turned_too(
    source: str, orientation: int, expected: tuple[int, int], format: str, opened: Opener, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x011B], exif[0x0128] = orientation, 204.0, 98.0, 2
    image = Image.fromarray(ramp()).convert("RGB")
    scan = opened(pillow_bytes(image, source, exif=exif, dpi=(204, 98), lossless=True), "a")
    compose(scan, scan.model_input(), colours(), OutputOptions(format), tmp_path / "output")

    again = open_scan(tmp_path / "output", "a", LIMITS)
    said = again.header_image()
    found = (said.xres, said.yres) if format != "webp" else read_metadata(again.file).per_millimetre
    assert np.array(found) * 25.4 == pytest.approx(expected, abs=0.1)
    main = read_metadata(again.file).exif.main
    assert [main[tag].numbers()[0] / main[tag].numbers()[1] for tag in (282, 283) if tag in main] in (
        [], pytest.approx(expected, abs=0.1), pytest.approx([each / 2.54 for each in expected], abs=0.1)
    )  # fmt: skip
