"""XMP that is too long for one JPEG segment is read whole and written in two parts, as Adobe's standard says."""

import hashlib
import re
import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.scans.conftest import LIMITS, colours, pillow_bytes, ramp, tiff_bytes
from tests.unit.scans.metadata.exiv2_reader import read_metadata
from tests.unit.scans.metadata.test_provenance import MADE, packet, properties
from worker.scans import OutputOptions, compose, open_scan
from worker.scans.formats.jpeg.segments import read_segments
from worker.scans.metadata.xmp import joined

DC = "{http://purl.org/dc/elements/1.1/}"
LONG = "x" * 150_000
MARK = b"http://ns.adobe.com/xmp/extension/\0"
NOTE = 'xmlns:N="http://ns.adobe.com/xmp/note/" N:HasExtendedXMP="%s" dc:title="short"'


def extended_jpeg(text: str = LONG, *, named: str | None = None, portions: int = 99) -> bytes:
    """A JPEG whose XMP has a second part, in portions of 60,000 bytes; the last portion comes first."""
    second = re.sub(rb"<\?.*?\?>", b"", packet(f"<dc:source>{text}</dc:source>"))
    md5 = hashlib.md5(second, usedforsecurity=False).hexdigest().upper()
    jpeg = pillow_bytes(ramp(), "JPEG", xmp=packet("", NOTE % (named or md5)))
    starts = list(range(0, len(second), 60_000))[:portions]
    for start in starts:
        portion = MARK + md5.encode() + struct.pack(">II", len(second), start) + second[start : start + 60_000]
        jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(portion) + 2) + portion + jpeg[2:]
    return jpeg


def output(data: bytes, format: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    (folder / "source").write_bytes(data)
    scan = open_scan(folder / "source", "a.jpg", LIMITS)
    path = folder / f"output.{format}"
    return path, compose(scan, scan.model_input(), colours(), OutputOptions(format), path, MADE).lost


def packet_in(path: Path) -> bytes:
    with Image.open(path) as image:
        found = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_it_is_one_packet_where_there_is_room(format: str, tmp_path: Path) -> None:
    path, lost = output(extended_jpeg(), format, tmp_path)
    found = properties(packet_in(path))
    assert (found[f"{DC}source"], found[f"{DC}title"], lost) == (LONG, "short", ())
    assert not any("HasExtendedXMP" in name for name in found)


def test_in_a_jpeg_the_provenance_comes_first_and_names_the_rest(tmp_path: Path) -> None:
    path, lost = output(extended_jpeg(), "jpeg", tmp_path)
    first = properties(packet_in(path))
    parts = [content[len(MARK) :] for _, content in read_segments(path) if content.startswith(MARK)]
    rest = b"".join(part[40:] for part in sorted(parts, key=lambda part: part[36:40]))
    assert first["{urn:photochrom:provenance#}SourceKey"] == MADE.source_key
    assert first["{http://ns.adobe.com/xmp/note/}HasExtendedXMP"] == hashlib.md5(rest).hexdigest().upper()
    assert {part[:36] for part in parts} == {
        hashlib.md5(rest).hexdigest().upper().encode() + struct.pack(">I", len(rest))
    }
    assert (properties(rest)[f"{DC}source"], lost) == (LONG, ())


def test_a_tiffs_long_packet_is_parted_for_a_jpeg(tmp_path: Path) -> None:
    long = packet(f"<dc:source>{LONG}</dc:source>")
    path, lost = output(tiff_bytes(ramp(), extratags=[(700, 1, len(long), long, True)]), "jpeg", tmp_path)
    again, _ = output(path.read_bytes(), "png", tmp_path)
    assert (properties(packet_in(again))[f"{DC}source"], lost) == (LONG, ())


def test_xmp_in_two_parts_is_read_again(tmp_path: Path) -> None:
    path, _ = output(extended_jpeg(), "jpeg", tmp_path)
    again, lost = output(path.read_bytes(), "tiff", tmp_path)
    assert (properties(packet_in(again))[f"{DC}source"], lost) == (LONG, ())


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_exiv2_reads_all_of_it(format: str, tmp_path: Path) -> None:
    path, _ = output(extended_jpeg(), format, tmp_path)
    values = read_metadata(path)
    names = ("Xmp.dc.source", "Xmp.dc.title", "Xmp.iptcExt.AISystemUsed")
    assert [values[name] for name in names] == [LONG, 'lang="x-default" short', MADE.software]


def test_exiv2_reads_the_first_part_in_a_jpeg(tmp_path: Path) -> None:
    """libexiv2 does not read the second part."""
    path, _ = output(extended_jpeg(), "jpeg", tmp_path)
    assert read_metadata(path)["Xmp.iptcExt.AISystemUsed"] == MADE.software


@pytest.mark.parametrize(
    ("named", "portions"), [(None, 2), (None, 0), ("0" * 32, 99)], ids=["cut", "gone", "another's"]
)
def test_incomplete_metadata_is_named_and_the_rest_is_copied(named: str | None, portions: int, tmp_path: Path) -> None:
    path, lost = output(extended_jpeg(named=named, portions=portions), "png", tmp_path)
    assert lost == ("extended XMP (damaged)",)
    assert properties(packet_in(path))[f"{DC}title"] == "short"


def test_extended_xmp_of_any_depth_is_read_or_named() -> None:
    """A little below Python's recursion limit, nested XMP can still be searched but can no longer be copied."""
    for depth in range(850, 1000):
        nested = b"<dc:a>" * depth + b"deep" + b"</dc:a>" * depth
        second = re.sub(rb"<\?.*?\?>", b"", packet("")).replace(
            b"></rdf:Description>", b">" + nested + b"</rdf:Description>"
        )
        md5 = hashlib.md5(second, usedforsecurity=False).hexdigest().upper()
        whole, _ = joined(packet("", NOTE % md5), [md5.encode() + struct.pack(">II", len(second), 0) + second])
        assert whole is None or nested in whole
