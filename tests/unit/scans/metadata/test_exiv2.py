"""The metadata of outputs, as libexiv2 and Pillow read them."""

import io
import itertools
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit.scans.conftest import LIMITS, colours, ramp
from tests.unit.scans.metadata.exiv2_reader import copy_metadata, read_icc_profile, read_metadata
from tests.unit.scans.metadata.test_metadata_between_formats import _scan
from worker.scans import OutputOptions, compose, open_scan

FORMATS = ("jpeg", "png", "tiff", "jp2", "webp")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One scan of each format; libexiv2 itself copied the TIFF's metadata into the JPEG 2000 and the WebP."""
    folder = tmp_path_factory.mktemp("scans")
    for format in ("jpeg", "png", "tiff"):
        (folder / format).write_bytes(_scan(format))
    Image.fromarray(ramp()).save(folder / "jp2", "JPEG2000", quality_layers=[1])
    Image.fromarray(np.dstack([ramp()] * 3)).save(folder / "webp", "WEBP", lossless=True)
    for format in ("jp2", "webp"):
        copy_metadata(folder / "tiff", folder / format)
    return {format: folder / format for format in FORMATS}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(FORMATS, FORMATS)))
def test_all_that_the_format_can_carry_is_there(
    source: str, target: str, scans: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = open_scan(scans[source], f"a.{source}", LIMITS)
    output = tmp_path / "output"
    lost = compose(scan, scan.model_input(), colours(), OutputOptions(target), output).lost
    assert (scan.width, scan.height) == (60, 90)  # turned upright, as the source's orientation asks for

    with caplog.at_level(logging.WARNING):
        values = read_metadata(output)
    assert values["Exif.Image.ImageDescription"] == "A street"
    assert values["Exif.Image.Copyright"] == "Public domain"
    assert values["Exif.Photo.DateTimeOriginal"] == "1936:05:01 12:00:00"
    assert [float(Fraction(part)) for part in values["Exif.GPSInfo.GPSLatitude"].split()] == [52, 30, 15.5]
    assert values["Xmp.dc.source"] == "box 7"
    assert values.get("Exif.Image.Orientation", "1") == "1"
    if target == "webp":  # WebP has no place for IPTC
        assert lost == (() if source == "webp" else ("IPTC",))
    elif source != "webp":
        assert (values["Iptc.Application2.Caption"], lost) == ("A street, 1936", ())
    assert "sRGB" in ImageCms.getProfileName(io.BytesIO(read_icc_profile(output)))
    assert per_inch(output, values) == pytest.approx(600, abs=0.1)
    assert caplog.records == []


def per_inch(output: Path, values: dict[str, str]) -> float:
    with Image.open(output) as image:
        if "dpi" in image.info:
            return float(image.info["dpi"][0])
    inch = 2.54 if values["Exif.Image.ResolutionUnit"] == "3" else 1
    return float(Fraction(values["Exif.Image.XResolution"])) * inch
