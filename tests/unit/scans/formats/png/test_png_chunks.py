"""Metadata in a PNG's chunks is found wherever the chunks are, and named if it can't be read."""

import struct
import zlib

import pytest
from PIL import Image

from tests.unit.scans.conftest import Opener, pillow_bytes, ramp
from tests.unit.scans.formats.png.test_png_colour import said
from worker.scans.metadata.read import read_metadata

PNG = pillow_bytes(ramp(), "PNG")
END = bytes(4) + b"IEND\xae\x42\x60\x82"


def behind(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk after its pixels."""
    assert png.endswith(END)
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return png.removesuffix(END) + struct.pack(">I", len(content)) + kind + content + checksum + END


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("lies", ["before", "behind"])
def test_exif_turns_the_scan_on_either_side_of_the_pixels(lies: str, opened: Opener) -> None:
    data = said(PNG, eXIf=turned()) if lies == "before" else behind(PNG, b"eXIf", turned())
    assert (opened(PNG, "a.png").width, opened(data, "a.png").width) == (90, 60)


DAMAGED = {
    "text Title (damaged)": (b"zTXt", b"Title\0\0no zlib"),
    "text Author (damaged)": (b"zTXt", b"Author\0\0" + zlib.compress(b"A. Alinari" * 99)[:-8]),
    "text XML:com.adobe.xmp (damaged)": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"),
    "text Place (damaged)": (b"iTXt", b"Place\0"),
    "XMP (damaged)": (b"tEXt", b"Raw profile type xmp\0\nxmp\n  10\nzz"),
    "IPTC (damaged)": (b"tEXt", b"Raw profile type iptc\0\niptc\n  10\nzz"),
}


@pytest.mark.parametrize("lost", DAMAGED)
def test_a_text_that_can_not_be_read_is_named(lost: str, opened: Opener) -> None:
    scan = opened(behind(PNG, *DAMAGED[lost]), "a.png")
    metadata = read_metadata(scan.file)
    assert (metadata.lost, metadata.texts, metadata.xmp) == ([lost], [], None)


def test_the_language_of_a_text_is_named_as_lost_and_its_text_is_kept(opened: Opener) -> None:
    scan = opened(behind(PNG, b"iTXt", b"Title\0\0\0it\0Titolo\0Una via"), "a.png")
    metadata = read_metadata(scan.file)
    assert (metadata.lost, metadata.texts) == (["language of the text Title"], [("Title", b"Una via")])


def test_of_two_blocks_of_exif_the_first_counts_and_the_other_is_named(opened: Opener) -> None:
    scan = opened(behind(said(PNG, eXIf=turned()), b"eXIf", turned()), "a.png")
    assert read_metadata(scan.file).lost == ["PNG chunk eXIf"]
