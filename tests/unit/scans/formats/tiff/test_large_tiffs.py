"""Classic TIFFs near 4 GiB, which are shown to libvips as BigTIFFs."""

import struct
from pathlib import Path

import numpy as np
import pytest

from worker.scans.formats.tiff import page_view
from worker.scans.formats.tiff.ifd_reader import IfdReader
from worker.scans.formats.tiff.layout import read_page
from worker.scans.formats.tiff.page_view import load_page

HEAD_BYTES = 8


def write_tiff(path: Path, width: int, height: int, order: str, *, top: bytes) -> None:
    """A grey TIFF with one strip for each row. Its pixels begin at byte 8, as in libtiff; pixels after `top` are 0."""
    end = HEAD_BYTES + width * height
    places = np.arange(height, dtype=np.uint64) * width + HEAD_BYTES
    arrays_at = end + 2 + 10 * 12 + 4
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, height, arrays_at), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, height, arrays_at + 4 * height)),
        (284, 3, 1, 1),
    ]
    directory = struct.pack(order + "H", len(tags))
    for tag, field_type, count, value in tags:
        field = struct.pack(order + ("HH" if field_type == 3 else "I"), *((value, 0) if field_type == 3 else (value,)))
        directory += struct.pack(order + "HHI", tag, field_type, count) + field
    lengths = np.full(height, width)
    arrays = b"".join(numbers.astype(f"{order}u4").tobytes() for numbers in (places, lengths))
    with path.open("wb") as file:
        file.write((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, end) + top)
        file.seek(end)
        file.write(directory + bytes(4) + arrays)


def top_rows(path: Path, rows: int) -> bytes:
    with path.open("rb") as file:
        reader = IfdReader(file)
        page = read_page(reader, reader.first)
    image = load_page(path, page, "warning")
    return bytes(image.crop(0, 0, image.width, rows).write_to_memory())


@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_at_byte_8_are_read_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    pixels = bytes(range(250)) * 4
    write_tiff(tmp_path / "scan.tif", 50, 20, order, top=pixels)
    monkeypatch.setattr(page_view, "_CLASSIC_BYTES", 0)

    assert top_rows(tmp_path / "scan.tif", 20) == pixels


def test_a_classic_tiff_just_below_4_gib_is_read(tmp_path: Path) -> None:
    width, height = 60_000, 71_569
    pixels = bytes(range(250)) * (2 * width // 250)
    write_tiff(tmp_path / "scan.tif", width, height, "<", top=pixels)
    assert 0 < (1 << 32) - (tmp_path / "scan.tif").stat().st_size < 1 << 20

    assert top_rows(tmp_path / "scan.tif", 2) == pixels
