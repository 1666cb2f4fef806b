"""EXIF keeps its byte order, and a maker's note keeps its place, so that the offsets in the note stay valid."""

import struct
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from tests.unit.scans.conftest import LIMITS, colours, pillow_bytes, ramp
from tests.unit.scans.metadata.exiv2_reader import read_metadata
from worker.scans import OutputOptions, compose, open_scan

MODEL, SAID = b"IMG:A scanning back\0", "Plate 7, Grüße"
NOTE_AT = 200
MOVED = "places within the maker's note (it is there, but has moved)"


def exif_of_a_camera(order: str) -> bytes:
    """Canon's note: a directory whose only value lies outside of it, at an offset from the beginning of the EXIF."""
    comment = b"UNICODE\0" + SAID.encode("utf-16-le" if order == "<" else "utf-16-be")
    note = struct.pack(order + "HHHIII", 1, 6, 2, len(MODEL), NOTE_AT + 18, 0) + MODEL
    main = struct.pack(order + "H", 2) + struct.pack(order + "HHII", 271, 2, 6, 38)
    main += struct.pack(order + "HHII", 0x8769, 4, 1, 44) + bytes(4) + b"Canon\0"
    sub = struct.pack(order + "H", 2) + struct.pack(order + "HHII", 0x927C, 7, len(note), NOTE_AT)
    sub += struct.pack(order + "HHII", 0x9286, 7, len(comment), 74) + bytes(4) + comment
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return (head + main + sub).ljust(NOTE_AT, b"\0") + note


@pytest.fixture
def output(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    order, format = request.param
    (tmp_path / "source").write_bytes(pillow_bytes(ramp(), "JPEG", exif=b"Exif\0\0" + exif_of_a_camera(order)))
    scan = open_scan(tmp_path / "source", "a.jpg", LIMITS)
    path = tmp_path / f"output.{format}"
    return path, compose(scan, scan.model_input(), colours(), OutputOptions(format), path).lost


BLOCKS = [(order, format) for order in "<>" for format in ("jpeg", "png", "jp2", "webp")]


@pytest.mark.parametrize(("order", "output"), [(each[0], each) for each in BLOCKS], indirect=["output"])
def test_a_makers_note_stays_in_its_place(order: str, output: tuple[Path, tuple[str, ...]]) -> None:
    path, lost = output
    data = path.read_bytes()
    begin = data.index(exif_of_a_camera(order)[:4])
    while data[begin + NOTE_AT + 18 : begin + NOTE_AT + 18 + len(MODEL)] != MODEL:
        begin = data.index(exif_of_a_camera(order)[:4], begin + 1)
    assert lost == ()


@pytest.mark.parametrize("output", BLOCKS, indirect=True)
def test_exiv2_finds_what_it_says(output: tuple[Path, tuple[str, ...]]) -> None:
    values = read_metadata(output[0])
    assert values["Exif.Canon.ImageType"] == MODEL.decode().rstrip("\0")
    assert values["Exif.Photo.UserComment"] == f"charset=Unicode {SAID}"


@pytest.mark.parametrize("output", [("<", "tiff"), (">", "tiff")], indirect=True)
def test_in_a_tiff_the_maker_s_note_moves_and_this_is_named(output: tuple[Path, tuple[str, ...]]) -> None:
    path, lost = output
    with tifffile.TiffFile(path) as tiff:
        assert MODEL in tiff.pages.first.tags[0x8769].value["MakerNote"]
    assert lost == (MOVED,)


@pytest.mark.parametrize("output", [("<", "tiff"), (">", "tiff")], indirect=True)
def test_a_comment_in_utf_16_is_turned_with_the_byte_order(output: tuple[Path, tuple[str, ...]]) -> None:
    with Image.open(output[0]) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment == b"UNICODE\0" + SAID.encode("utf-16-le")
