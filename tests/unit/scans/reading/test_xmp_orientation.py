"""A scan is turned if only its XMP says so; if EXIF says something else, EXIF counts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.unit.scans.conftest import Opener, grey_of, pillow_bytes, ramp, tiff_bytes, write_colour
from worker.scans.formats.jp2 import boxes

GREY = ramp(64, 96)
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
FORMS = {
    "attribute": '<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%s"/>',
    "element": '<rdf:Description rdf:about="" xmlns:t="http://ns.adobe.com/tiff/1.0/">'
    "<t:Orientation>%s</t:Orientation></rdf:Description>",
}
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "JPEG2000")


def packet(orientation: int | str, form: str = "attribute") -> bytes:
    inner = FORMS[form] % orientation
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}</rdf:RDF></x:xmpmeta>'.encode()


def file(format: str, xmp: bytes, exif: Image.Exif | None = None) -> bytes:
    image = Image.fromarray(GREY).convert("RGB" if format == "WEBP" else "L")
    said = {"exif": exif} if exif else {}
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return pillow_bytes(image, format, pnginfo=text, **said)
    if format == "TIFF":
        tags = [(274, 3, 1, exif[274], True)] if exif else []
        return tiff_bytes(GREY, extratags=[(700, 1, len(xmp), xmp, True), *tags])
    if format == "JPEG2000":
        data = pillow_bytes(image, format)
        at = data.index(b"jp2c") - 4
        block = boxes.box(b"uuid", boxes.EXIF + exif.tobytes()) if exif else b""
        return data[:at] + boxes.box(b"uuid", boxes.XMP + xmp) + block + data[at:]
    return pillow_bytes(image, format, xmp=xmp, lossless=True, quality=100, **said)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", [6, 8])
def test_it_is_turned_as_by_exif(format: str, form: str, orientation: int, opened: Opener, tmp_path: Path) -> None:
    scan = opened(file(format, packet(orientation, form)), "a")
    expected = np.rot90(GREY, -1 if orientation == 6 else 1)
    np.testing.assert_allclose(grey_of(scan).astype(int), expected.astype(int), atol=2)
    assert write_colour(scan, tmp_path, "tiff")[0].shape == (*expected.shape, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_exif_wins(format: str, opened: Opener) -> None:
    exif = Image.Exif()
    exif[274] = 1
    assert opened(file(format, packet(6), exif), "a").width == 96


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("number", [0, 9])
def test_an_exif_that_can_not_be_does_not_win(format: str, number: int, opened: Opener) -> None:
    exif = Image.Exif()
    exif[274] = number
    assert opened(file(format, packet(6), exif), "a").width == 64


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", ["0", "9", "upright", "", "1"])
def test_a_missing_or_invalid_orientation_turns_nothing(format: str, orientation: str, opened: Opener) -> None:
    assert opened(file(format, packet(orientation)), "a").width == 96
