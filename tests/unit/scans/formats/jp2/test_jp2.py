"""JPEG 2000 is written without loss in tiles, read tile by tile, and refused if a file would need too much memory."""

import struct
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest

from tests.unit.scans.conftest import (
    LIMITS,
    Array,
    Opener,
    colours,
    grey_of,
    pillow_bytes,
    ramp,
    tiff_bytes,
    write_colour,
)
from worker.errors import ScanError
from worker.scans import OutputOptions, ScanLimits, compose, open_scan, probe
from worker.scans.formats.jp2 import boxes
from worker.scans.metadata.read import read_metadata


def noise(height: int, width: int, bits: int = 16) -> Array:
    return (
        np.random.default_rng(3).integers(0, 1 << bits, (height, width)).astype(np.uint16 if bits == 16 else np.uint8)
    )


@pytest.mark.parametrize(("height", "width"), [(40, 60), (1024, 1024), (1025, 1030), (1, 1500), (1500, 1)])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_jp2_holds_the_same_pixels_as_a_tiff(
    height: int, width: int, bits: int, opened: Opener, tmp_path: Path
) -> None:
    scan = opened(tiff_bytes(noise(height, width, bits)))
    expected, _ = write_colour(scan, tmp_path, "tiff")
    compose(scan, scan.model_input(), colours(), OutputOptions("jp2"), tmp_path / "out.jp2")

    read = cv2.imread(str(tmp_path / "out.jp2"), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read[..., ::-1], expected)


def test_transparency_is_kept(opened: Opener, tmp_path: Path) -> None:
    grey, alpha = ramp(bits=16), ramp(bits=16)[::-1]
    scan = opened(tiff_bytes(np.dstack([grey, alpha]), photometric="minisblack", extrasamples=["unassalpha"]))
    compose(scan, scan.model_input(), colours(), OutputOptions("jp2"), tmp_path / "out.jp2")

    read = imagecodecs.jpeg2k_decode((tmp_path / "out.jp2").read_bytes())
    np.testing.assert_array_equal(read[..., 3], alpha)
    again = opened((tmp_path / "out.jp2").read_bytes(), "out.jp2")
    assert (again.header.has_alpha, again.bit_depth) == (True, 16)


def test_a_large_one_is_streamed_and_written_alike(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = opened(tiff_bytes(noise(1100, 1300)))
    held, streamed = tmp_path / "held.jp2", tmp_path / "streamed.jp2"
    compose(scan, scan.model_input(), colours(), OutputOptions("jp2"), held)
    monkeypatch.setattr("worker.scans.writing.compose.HELD_BYTES", 1)
    compose(scan, scan.model_input(), colours(), OutputOptions("jp2"), streamed)
    assert held.read_bytes() == streamed.read_bytes()


def test_a_grey_profile_counts(opened: Opener) -> None:
    from tests.unit.scans.reading.icc import gamma_curve, grey_profile

    plain = pillow_bytes(ramp(), "JPEG2000", quality_layers=[1])
    at = plain.index(b"colr") - 4
    colour = b"\2\0\0" + grey_profile(gamma_curve(1.8))
    new = struct.pack(">I4s", 8 + len(colour), b"colr") + colour
    head = plain.index(b"jp2h") - 4
    length = struct.unpack_from(">I", plain, head)[0] + len(new) - 15
    data = plain[:head] + struct.pack(">I", length) + plain[head + 4 : at] + new + plain[at + 15 :]

    as_tiff = opened(tiff_bytes(ramp(), iccprofile=grey_profile(gamma_curve(1.8))), "a.tif")
    expected = grey_of(as_tiff)
    assert (expected != ramp()).any()
    np.testing.assert_array_equal(grey_of(opened(data, "a.jp2")), expected)


def with_size(data: bytes, width: int, height: int, tile: int) -> bytes:
    """The same file, but its header and its codestream name another size, and another size of tiles."""
    header = data.index(b"ihdr") + 4
    data = data[:header] + struct.pack(">II", height, width) + data[header + 8 :]
    return with_codestream_size(data, width, height, tile)


def with_codestream_size(data: bytes, width: int, height: int, tile: int) -> bytes:
    at = data.index(b"\xff\x51") + 6
    return data[:at] + struct.pack(">8I", width, height, 0, 0, tile, tile, 0, 0) + data[at + 32 :]


@pytest.mark.parametrize(
    ("size", "tile", "code"),
    [(60_000, 60_000, "too_large"), (30_000, 30_000, "too_large"), (30_000, 1, "unreadable"), (0, 64, "unreadable")],
)
def test_a_bomb_is_refused_before_it_is_decoded(size: int, tile: int, code: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(with_size(pillow_bytes(ramp(), "JPEG2000"), size, size, tile))
    with pytest.raises(ScanError) as refused:
        open_scan(path, "a.jp2", LIMITS).model_input()
    assert refused.value.code == code


@pytest.mark.parametrize(("width", "height"), [(90, 1), (1, 90), (4_000, 60)])
def test_a_codestream_of_another_size_than_its_header_is_refused(width: int, height: int, opened: Opener) -> None:
    """One of the two is damaged. The codestream's size was taken, so most of the picture was lost without a word."""
    with pytest.raises(ScanError, match=f"90 x 60 by its header, {width:,} x {height:,} by its codestream") as refused:
        opened(with_codestream_size(pillow_bytes(ramp(), "JPEG2000"), width, height, 4_096), "a.jp2")
    assert refused.value.code == "unreadable"


def test_countless_packets_are_refused(tmp_path: Path) -> None:
    data = bytearray(with_size(pillow_bytes(ramp(), "JPEG2000"), 15_000, 15_000, 15_000))
    at = data.index(b"\xff\x52") + 4
    data[at + 2 : at + 4] = b"\xff\xff"  # layers
    path = tmp_path / "bomb"
    path.write_bytes(data)
    with pytest.raises(ScanError, match="more packets than a scan can have"):
        open_scan(path, "a.jp2", LIMITS).model_input()


def test_its_header_alone_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.write_bytes(pillow_bytes(noise(300, 200), "JPEG2000", quality_layers=[1]))
    header = probe(path, "a.jp2", ScanLimits(1 << 20, 60_000))
    assert (header.format, header.width, header.height, header.bit_depth) == ("jp2", 200, 300, 16)
    assert [each.name for each in tmp_path.iterdir()] == ["scan"]
    with pytest.raises(ScanError, match="PHOTOCHROM_MAX_SCAN_PIXELS"):
        probe(path, "a.jp2", ScanLimits(1 << 20, 59_999))


def test_every_tile_must_be_there(opened: Opener) -> None:
    data = pillow_bytes(ramp(), "JPEG2000", tile_size=(40, 24), no_jp2=True)
    first = data.index(b"\xff\x90")
    length = struct.unpack_from(">I", data, first + 6)[0]
    with pytest.raises(ScanError, match="lacks tile 0") as refused:
        opened(data[:first] + data[first + length :], "a.j2k")
    assert refused.value.code == "unreadable"


def test_boxes_in_boxes_without_end_are_no_fault_of_ours(opened: Opener) -> None:
    nested = b""
    for _ in range(3000):
        nested = struct.pack(">I4s", 8 + len(nested), b"jp2h") + nested
    data = pillow_bytes(ramp(), "JPEG2000", quality_layers=[1])
    at = data.index(b"jp2c") - 4
    np.testing.assert_array_equal(grey_of(opened(data[:at] + nested + data[at:], "a.jp2")), ramp())


def test_a_second_packet_and_a_box_too_long_to_read_are_named(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pillow_bytes(ramp(), "JPEG2000", quality_layers=[1])
    at = data.index(b"jp2c") - 4
    packets = [boxes.box(b"uuid", boxes.XMP + packet) for packet in (b"<first/>", b"<second/>")]
    long = boxes.box(b"xml ", b"<a>" + b"." * 2000) + boxes.box(b"free", bytes(2000))
    monkeypatch.setattr(boxes, "_MAX_BYTES", 1000)
    scan = opened(data[:at] + b"".join(packets) + long + data[at:], "a.jp2")
    metadata = read_metadata(scan.file)
    assert (metadata.xmp, metadata.lost) == (b"<first/>", ["JPEG 2000 box uuid", "JPEG 2000 box xml"])
