"""Metadata is copied from every format into every format; Pillow and tifffile write it, and Pillow reads it back."""

import io
import itertools
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin, PngImagePlugin

from tests.unit.scans.conftest import LIMITS, colours, pillow_bytes, ramp, tiff_bytes
from worker.errors import ScanError
from worker.scans import OutputOptions, ScanFile, compose, open_scan, open_scan_file
from worker.scans.metadata.read import read_metadata

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="box 7"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
CAPTION = b"A street, 1936"
IPTC = b"\x1c\x02\x78" + struct.pack(">H", len(CAPTION)) + CAPTION  # IIM 2:120
RESOURCES = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + b"\0" * (len(IPTC) % 2)
FORMATS = ("jpeg", "png", "tiff")
PAIRS = list(itertools.product(FORMATS, FORMATS))


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E], exif[0x8298], exif[0x010F], exif[0x0112] = "A street", "Public domain", "Creo", 6
    exif.get_ifd(0x8769)[0x9003] = "1936:05:01 12:00:00"
    exif.get_ifd(0x8769)[0xA002] = 1
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 15.5)})
    return exif


def _scan(format: str, **more: Any) -> bytes:
    """A scan with all the metadata that its format can hold."""
    pixels = ramp()
    if format == "jpeg":
        data = pillow_bytes(pixels, "JPEG", dpi=(600, 600), exif=_exif(), xmp=XMP, **more)
        content = b"Photoshop 3.0\0" + RESOURCES
        return data[:2] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + data[2:]
    if format == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        texts.add_text("Raw profile type iptc", f"\niptc\n{len(RESOURCES):8}\n{RESOURCES.hex()}\n", zip=True)
        return pillow_bytes(pixels, "PNG", dpi=(600, 600), exif=_exif(), pnginfo=texts, **more)
    tags = _exif()
    tags[700], tags[33723] = XMP, IPTC
    tags[0x8769], tags[0x8825] = dict(tags.get_ifd(0x8769)), dict(tags.get_ifd(0x8825))
    return pillow_bytes(pixels, "TIFF", dpi=(600, 600), exif=tags, **more)


def _output(data: bytes, source: str, target: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    path = folder / "source"
    path.write_bytes(data)
    scan = open_scan(path, f"a.{source}", LIMITS)
    output = folder / f"output.{target}"
    return output, compose(scan, scan.model_input(), colours(), OutputOptions(target), output).lost


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_exif_with_its_time_and_place_is_carried(source: str, target: str, tmp_path: Path) -> None:
    output, lost = _output(_scan(source), source, target, tmp_path)
    with Image.open(output) as image:
        exif = image.getexif()
        assert (exif[0x010E], exif[0x8298], exif[0x010F]) == ("A street", "Public domain", "Creo")
        assert exif.get_ifd(0x8769)[0x9003] == "1936:05:01 12:00:00"
        assert exif.get_ifd(0x8769)[0xA002] == 60  # the width, which was corrected when the picture was turned
        assert exif.get_ifd(0x8825)[1] == "N"
        assert [float(part) for part in exif.get_ifd(0x8825)[2]] == [52.0, 30.0, 15.5]
        assert exif.get(0x0112, 1) == 1
        assert image.size == (60, 90)
    assert lost == ()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_resolution_xmp_and_iptc_are_carried(source: str, target: str, tmp_path: Path) -> None:
    output, lost = _output(_scan(source), source, target, tmp_path)
    with Image.open(output) as image:
        assert image.info["dpi"] == pytest.approx((600, 600), abs=0.1)
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        assert b"box 7" in (xmp.encode() if isinstance(xmp, str) else xmp)
        assert CAPTION in _iptc_of(image)
    assert lost == ()


def _iptc_of(image: Image.Image) -> bytes:
    if image.format == "PNG":
        image.load()
        return bytes.fromhex("".join(image.info["Raw profile type iptc"].split("\n")[3:]))
    found = IptcImagePlugin.getiptcinfo(image)  # type: ignore[arg-type]
    assert found is not None
    value = found[2, 120]
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_of_any_byte_order_are_understood(bigtiff: bool, order: str, tmp_path: Path) -> None:
    import tifffile

    out = io.BytesIO()
    tifffile.imwrite(
        out, ramp(), bigtiff=bigtiff, byteorder=order, description="A street", metadata=None,
        extratags=[(33432, 2, 0, "Public domain", True), (33550, 12, 3, (1.5, 2.5, 0.0), True)],
    )  # fmt: skip
    output, lost = _output(out.getvalue(), "tiff", "tiff", tmp_path)
    with tifffile.TiffFile(output) as tiff:
        tags = tiff.pages.first.tags
        assert (tags[270].value, tags[33432].value, tags[33550].value) == ("A street", "Public domain", (1.5, 2.5, 0.0))
        assert tiff.asarray().shape == (60, 90, 3)
    assert lost == ()


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 4, 7])
def test_iptc_of_any_type_and_byte_order_is_carried_as_it_is(
    kind: int, order: str, target: str, tmp_path: Path
) -> None:
    import tifffile

    whole = IPTC + bytes(-len(IPTC) % 4)
    numbers = struct.unpack(f"{order}{len(whole) // 4}I", whole)
    tag = (33723, kind, len(numbers), numbers, True) if kind == 4 else (33723, kind, len(whole), whole, True)
    out = io.BytesIO()
    tifffile.imwrite(out, ramp(), byteorder=order, metadata=None, extratags=[tag])
    assert whole in out.getvalue()
    output, _ = _output(out.getvalue(), "tiff", target, tmp_path)
    with Image.open(output) as image:
        assert CAPTION in _iptc_of(image)


def test_metadata_that_the_format_cannot_hold_is_named(tmp_path: Path) -> None:
    import tifffile

    out = io.BytesIO()
    tifffile.imwrite(out, ramp(), metadata=None, extratags=[(33550, 12, 3, (1.5, 2.5, 0.0), True)])
    assert _output(out.getvalue(), "tiff", "jpeg", tmp_path)[1] == ("TIFF tags 33550",)

    texts = PngImagePlugin.PngInfo()
    texts.add_text("Shelfmark", "VII b 12")
    png = pillow_bytes(ramp(), "PNG", pnginfo=texts)
    assert _output(png, "png", "tiff", tmp_path)[1] == ("text Shelfmark",)
    with Image.open(_output(png, "png", "png", tmp_path)[0]) as image:
        assert image.info["Shelfmark"] == "VII b 12"


@pytest.mark.parametrize(("tag", "said"), [(37724, "TIFF layers or further images"), (700, "TIFF tags 700 (empty")])
def test_a_tag_too_long_to_be_read_takes_no_other_with_it(tag: int, said: str, tmp_path: Path) -> None:
    import tifffile

    out = io.BytesIO()
    tifffile.imwrite(
        out, ramp(), metadata=None, description="A street",
        extratags=[(tag, 7, 17 << 20, bytes(17 << 20), True), (33723, 7, len(IPTC), IPTC, True)],
    )  # fmt: skip
    output, lost = _output(out.getvalue(), "tiff", "tiff", tmp_path)
    assert [each.startswith(said) for each in lost] == [True]
    with Image.open(output) as image:
        assert image.getexif()[270] == "A street"
        assert CAPTION in _iptc_of(image)


def test_a_channel_that_is_left_out_is_named(tmp_path: Path) -> None:
    infrared = tiff_bytes(np.dstack([ramp()] * 4), photometric="rgb", extrasamples=["unspecified"])
    said = "1 of its channels (neither colour nor alpha, such as infrared)"
    assert _output(infrared, "tiff", "jpeg", tmp_path)[1] == (said,)


def _with_strangers() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    jpeg, png = pillow_bytes(ramp(), "JPEG"), pillow_bytes(ramp(), "PNG")
    webp = bytearray(pillow_bytes(np.dstack([ramp()] * 3), "WEBP", lossless=True, xmp=XMP) + b"C2PA\4\0\0\0seal")
    webp[4:8] = struct.pack("<I", len(webp) - 8)
    sealed = b"".join((b"\xff\xeb\0\x0aJP\0\1seal", b"\xff\xe2\0\x0aMPF\0more", b"\xff\xe5\0\6\1\2\3\4"))
    said = tuple(f"JPEG segment {name}" for name in ("APP11 JP", "APP2 MPF", "APP5"))
    return {
        "jpeg": (jpeg[:2] + sealed + jpeg[2:], said),
        "png": (png[:33] + b"\0\0\0\4caBXseal" + bytes(4) + png[33:], ("PNG chunk caBX",)),
        "webp": (bytes(webp), ("WebP chunk C2PA",)),
    }


@pytest.mark.parametrize("source", ["jpeg", "png", "webp"])
def test_metadata_that_cannot_be_read_is_named(source: str, tmp_path: Path) -> None:
    data, said = _with_strangers()[source]
    assert _output(data, source, "tiff", tmp_path)[1] == said


def test_metadata_that_is_too_long_for_a_jpeg_is_named_and_the_rest_is_copied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "A street " * 10_000
    data = pillow_bytes(ramp(), "TIFF", exif=exif, dpi=(300, 300))
    output, lost = _output(data, "tiff", "jpeg", tmp_path)
    assert lost == ("EXIF (over 64 KB)",)
    with Image.open(output) as image:
        assert image.info["dpi"] == (300, 300)


@pytest.mark.parametrize("comment", ["Città", "写真"])
def test_a_jpegs_comment_is_carried_whatever_it_is_written_in(comment: str, tmp_path: Path) -> None:
    written = comment.encode("latin-1" if max(comment) < "\u0100" else "utf-8")
    output, lost = _output(pillow_bytes(ramp(), "JPEG", comment=written), "jpeg", "png", tmp_path)
    with Image.open(output) as image:
        assert (image.info["Comment"], lost) == (comment, ())


def test_bytes_that_fill_up_before_a_marker_hide_nothing_behind_them(tmp_path: Path) -> None:
    data = _scan("jpeg")
    for marker in (b"\xff\xe1", b"\xff\xed"):
        data = data.replace(marker, b"\xff\xff\xff" + marker[1:], 1)
    output, lost = _output(data, "jpeg", "tiff", tmp_path)
    with Image.open(output) as image:
        assert (image.getexif()[0x010E], CAPTION in _iptc_of(image), lost) == ("A street", True, ())


@pytest.mark.parametrize(
    "more", [b"8BIM\x04\x25\0\0\0\0\0\x10cut", b"MeSa\x04\x25\0\0\0\0\0\0"], ids=["cut", "strange"]
)
def test_photoshops_resources_that_can_not_be_read_are_named(more: bytes, tmp_path: Path) -> None:
    content = b"Photoshop 3.0\0" + RESOURCES + more
    jpeg = pillow_bytes(ramp(), "JPEG")
    data = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]
    output, lost = _output(data, "jpeg", "jpeg", tmp_path)
    assert lost == ("Photoshop resources (damaged, from some place on)",)
    with Image.open(output) as image:
        assert CAPTION in _iptc_of(image)


def test_photoshops_own_note_of_a_profile_does_not_outlive_it(tmp_path: Path) -> None:
    profile = b"8BIM\x04\x0f\0\0" + struct.pack(">I", 12) + b"profile of a" + b"8BIM\x04\x11\0\0\0\0\0\1\1\0"
    tag = (34377, 1, len(profile + RESOURCES), profile + RESOURCES, True)
    output, lost = _output(tiff_bytes(ramp(), extratags=[tag]), "tiff", "tiff", tmp_path)
    assert (b"profile of a" in output.read_bytes(), b"8BIM\x04\x11" in output.read_bytes(), lost) == (False, False, ())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FORMATS), st.data())
def test_damaged_metadata_raises_nothing(tmp_path: Path, format: str, data: st.DataObject) -> None:
    damaged = bytearray(_scan(format))
    head = min(len(damaged), 1500) if format != "tiff" else len(damaged)
    for place in data.draw(st.lists(st.integers(0, head - 1), min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(damaged)
    with suppress(ScanError):
        read_metadata(open_scan_file(path, "a", LIMITS))


def test_a_scan_without_metadata_gets_none(tmp_path: Path) -> None:
    for source, target in PAIRS:
        output, lost = _output(pillow_bytes(ramp(), source.upper()), source, target, tmp_path)
        assert lost == ()
        with Image.open(output) as image:
            assert not image.info.get("exif")
            assert not image.info.get("xmp")


@pytest.mark.parametrize(("mark", "name"), [(b"Exif\0\0", "EXIF"), (b"http://ns.adobe.com/xap/1.0/\0", "XMP")])
def test_of_two_segments_of_a_kind_the_first_counts_and_the_other_is_named(
    mark: bytes, name: str, tmp_path: Path
) -> None:
    data = _scan("jpeg")
    first = read_metadata(_file(tmp_path, data))
    second = mark + b"what another program left here"
    at = data.index(b"\xff\xdb")  # the quantization tables, which follow all metadata
    twice = data[:at] + b"\xff\xe1" + struct.pack(">H", len(second) + 2) + second + data[at:]
    metadata = read_metadata(_file(tmp_path, twice))
    assert (metadata.exif, metadata.xmp) == (first.exif, first.xmp)
    assert metadata.lost == [*first.lost, f"another JPEG segment of {name}"]


def _file(folder: Path, data: bytes) -> ScanFile:
    (folder / "scan").write_bytes(data)
    return open_scan_file(folder / "scan", "a", LIMITS)
