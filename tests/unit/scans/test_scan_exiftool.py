"""What outputs say beside their pixels, as ExifTool reads it (Debian: libimage-exiftool-perl); skipped without it."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.programs import EXIFTOOL
from tests.unit.scans.conftest import LIMITS, colours, ramp
from tests.unit.scans.test_scan_carrying import _scan
from worker.scans import OutputOptions, compose, open_scan

FORMATS = ("jpeg", "png", "tiff", "jp2", "webp")

needs_exiftool = pytest.mark.skipif(EXIFTOOL.path() is None, reason=EXIFTOOL.absence)
pytestmark = needs_exiftool


def exiftool(*arguments: str | Path) -> str:
    run = subprocess.run(["exiftool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One scan of each format; ExifTool itself has put into the last two what the TIFF says."""
    folder = tmp_path_factory.mktemp("scans")
    for format in ("jpeg", "png", "tiff"):
        (folder / format).write_bytes(_scan(format))
    Image.fromarray(ramp()).save(folder / "jp2", "JPEG2000", quality_layers=[1])
    Image.fromarray(np.dstack([ramp()] * 3)).save(folder / "webp", "WEBP", lossless=True)
    for format in ("jp2", "webp"):
        exiftool("-overwrite_original", "-m", "-tagsfromfile", folder / "tiff", "-all:all", folder / format)
    return {format: folder / format for format in FORMATS}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(FORMATS, FORMATS)))
def test_all_that_the_format_can_carry_is_there(
    source: str, target: str, scans: dict[str, Path], tmp_path: Path
) -> None:
    scan = open_scan(scans[source], f"a.{source}", LIMITS)
    lost = compose(scan, scan.square(), colours(), OutputOptions(target), tmp_path / "output").lost

    said: dict[str, Any] = json.loads(exiftool("-json", "-G1", "-n", tmp_path / "output"))[0]
    assert said["IFD0:ImageDescription"] == "A street"
    assert said["IFD0:Copyright"] == "Public domain"
    assert said["ExifIFD:DateTimeOriginal"] == "1936:05:01 12:00:00"
    assert said["GPS:GPSLatitude"] == pytest.approx(52.504, abs=0.001)
    assert said["XMP-dc:Source"] == "box 7"
    assert said["ICC_Profile:ProfileDescription"] == "sRGB"
    assert per_inch(said, target) == pytest.approx(600, abs=0.1)
    if target == "webp":  # has no place for it
        assert lost == (() if source == "webp" else ("IPTC",))
    elif source != "webp":
        assert (said["IPTC:Caption-Abstract"], lost) == ("A street, 1936", ())
    assert said.get("IFD0:Orientation", 1) == 1
    assert (scan.width, scan.height) == (60, 90)  # turned upright, as the source's orientation asks for
    assert "Warning" not in " ".join(said)


def per_inch(said: dict[str, Any], target: str) -> float:
    match target:
        case "png":
            return float(said["PNG-pHYs:PixelsPerUnitX"]) * 0.0254
        case "jp2":
            power = int(said["Jpeg2000:CaptureXResolutionUnit"])
            return float(said["Jpeg2000:CaptureXResolution"] * 10.0**power * 0.0254)
        case "jpeg":
            return float(said["JFIF:XResolution"])
        case _:
            return float(said["IFD0:XResolution"]) * (2.54 if said.get("IFD0:ResolutionUnit") == 3 else 1)
