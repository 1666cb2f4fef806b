"""Memory is bounded whatever metadata a file holds, and metadata that is left out is named."""

import hashlib
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import PngImagePlugin

from tests.unit.scans.conftest import LIMITS, Opener, pillow_bytes, ramp, tiff_bytes
from worker.scans import open_scan_file
from worker.scans.formats.jp2 import boxes
from worker.scans.metadata.provenance import Provenance, with_provenance
from worker.scans.metadata.read import Metadata, read_metadata

GREY = ramp(64, 96)
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
MOST_MEGABYTES = 100  # above a scan without metadata
_OPEN_AND_COMPOSE = """
import resource, sys
from pathlib import Path
import numpy as np
from worker.scans import *
from worker.scans.metadata.provenance import Provenance
from datetime import datetime, UTC
made = Provenance("Photochrom", "x" * 64, "a", "0" * 64, datetime(2026, 1, 1, tzinfo=UTC))
configure_libraries()
for path in map(Path, sys.argv[1:]):
    scan = open_scan(path, "a", ScanLimits(1 << 30, 1 << 30))
    for format in ("jpeg", "tiff", "png"):
        ab = np.zeros((400, 400, 2), np.float32)
        compose(scan, scan.model_input(), ab, OutputOptions(format), path.with_name("o"), made)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def packet(megabytes: float, *, as_ancestors: bool = False) -> bytes:
    lines = "".join(f"<rdf:li>{number:032x}</rdf:li>" for number in range(int(megabytes * (1 << 20) / 49)))
    name = "photoshop:DocumentAncestors" if as_ancestors else "photoshop:History"
    inner = '<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Rome">'
    inner += f"<{name}><rdf:Bag>{lines}</rdf:Bag></{name}></rdf:Description>"
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}</rdf:RDF></x:xmpmeta>'.encode()


def png_with(*texts: tuple[str, bytes]) -> bytes:
    data = pillow_bytes(GREY, "PNG")
    chunks = b""
    for keyword, text in texts:
        kind, content = b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(text, 9)
        if keyword == "XML:com.adobe.xmp":
            kind, content = b"iTXt", keyword.encode() + b"\0\1\0\0\0" + zlib.compress(text, 9)
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        chunks += struct.pack(">I", len(content)) + kind + content + checksum
    return data[:33] + chunks + data[33:]


def jpeg_with_extended(xmp: bytes) -> bytes:
    md5 = hashlib.md5(xmp).hexdigest().upper()
    first = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about="" '
    first += f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{md5}"/></rdf:RDF></x:xmpmeta>'
    contents = [b"http://ns.adobe.com/xap/1.0/\0" + first.encode()]
    for at in range(0, len(xmp), 65_000):
        head = md5.encode() + struct.pack(">II", len(xmp), at)
        contents.append(b"http://ns.adobe.com/xmp/extension/\0" + head + xmp[at : at + 65_000])
    data = pillow_bytes(GREY, "JPEG")
    return data[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(c) + 2) + c for c in contents) + data[2:]


def jp2_with(xmp: bytes) -> bytes:
    data = pillow_bytes(GREY, "JPEG2000")
    at = data.index(b"jp2c") - 4
    return data[:at] + boxes.box(b"uuid", boxes.XMP + xmp) + data[at:]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "15 MB of XMP in a small PNG": lambda: png_with(("XML:com.adobe.xmp", packet(15))),
    "20 texts of 16 MB": lambda: png_with(*((f"Text {number}", b"a" * (16 << 20)) for number in range(20))),
    "ancestors in a TIFF": lambda: tiff_with(packet(16, as_ancestors=True)),
    "ancestors in a JPEG": lambda: jpeg_with_extended(packet(12, as_ancestors=True)),
    "ancestors in a JPEG 2000": lambda: jp2_with(packet(12, as_ancestors=True)),
    "100 MB of segments": lambda: jpeg_with_segments(1600),
}


def tiff_with(xmp: bytes) -> bytes:
    return tiff_bytes(GREY, extratags=[(700, 1, len(xmp), xmp, True)])


def jpeg_with_segments(count: int) -> bytes:
    data = pillow_bytes(GREY, "JPEG")
    return data[:2] + (b"\xff\xe5" + struct.pack(">H", 65_535) + bytes(65_533)) * count + data[2:]


def metadata_of(data: bytes, folder: Path) -> Metadata:
    path = folder / "said"
    path.write_bytes(data)
    return read_metadata(open_scan_file(path, "a", LIMITS))


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_is_bounded_and_metadata_that_is_left_out_is_named(name: str, tmp_path: Path) -> None:
    plain, hostile = tmp_path / "plain", tmp_path / "hostile"
    plain.write_bytes(pillow_bytes(GREY, "PNG"))
    hostile.write_bytes(HOSTILE[name]())
    command = [sys.executable, "-c", _OPEN_AND_COMPOSE, str(plain), str(hostile)]
    peaks = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4]).stdout
    before, after = map(int, peaks.split())
    assert (after - before) / 1024 < MOST_MEGABYTES
    assert metadata_of(hostile.read_bytes(), tmp_path).lost


@pytest.mark.parametrize("make", [tiff_with, jpeg_with_extended, jp2_with])
def test_ancestors_alone_are_left_out_of_a_long_packet(make: Callable[[bytes], bytes], tmp_path: Path) -> None:
    metadata = metadata_of(make(packet(3, as_ancestors=True)), tmp_path)
    assert b"Rome" in (metadata.xmp or b"")
    assert metadata.lost == ["photoshop:DocumentAncestors of XMP (too long)"]


def test_short_ancestors_stay(tmp_path: Path) -> None:
    xmp = packet(0.1, as_ancestors=True)
    assert metadata_of(tiff_with(xmp), tmp_path).xmp == xmp


def test_texts_are_taken_as_far_as_there_is_room(tmp_path: Path) -> None:
    metadata = metadata_of(
        png_with(("Short", b"a street"), ("Long", b"a" * (17 << 20)), ("Other", b"a town")), tmp_path
    )
    assert [keyword for keyword, _ in metadata.texts] == ["Short", "Other"]
    assert metadata.lost == ["text Long (over 16 MB in all)"]


@pytest.mark.parametrize(("element", "is_read"), [(b"x:xmpmeta", True), (b"x:xapmeta", False)])
def test_a_doctype_is_no_xmp(element: bytes, is_read: bool) -> None:
    """It may define entities of gigabytes. What is before <x:xmpmeta> is not read; without that element, nothing is."""
    xmp = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + packet(0.01).replace(b"x:xmpmeta", element)

    made = Provenance("Photochrom", "x" * 64, "a", "0" * 64, datetime(2026, 1, 1, tzinfo=UTC))
    written, could_be_read = with_provenance(xmp, made)

    assert could_be_read == is_read
    assert (b"Rome" in written) == is_read
    assert b"DOCTYPE" not in written
    assert b"ENTITY" not in written


def test_a_picture_with_long_texts_keeps_its_pixels(opened: Opener) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a street " * 3000)
    assert opened(pillow_bytes(GREY, "PNG", pnginfo=text), "a.png").width == 96
