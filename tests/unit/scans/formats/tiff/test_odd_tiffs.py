"""TIFFs with a complete picture and with oddities: rubbish after the picture, useless tags, wrong counts."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.unit.scans.conftest import LIMITS, Opener, grey_of, pillow_bytes, ramp, tiff_bytes, write_colour
from tests.unit.scans.formats.tiff.tiff_edits import entry_of, with_entry, with_next, with_number, without
from worker.errors import ScanError
from worker.scans import OpenScan, open_scan_file, probe_pages
from worker.scans.metadata.read import Metadata, read_metadata

GREY = ramp(64, 96)
NOISY = (GREY // 2 + np.random.default_rng(0).integers(0, 99, GREY.shape)).astype(np.uint8)
PLAIN = tiff_bytes(GREY, rowsperstrip=16, software="a scanner", description="A street")


def metadata_of(data: bytes, folder: Path) -> Metadata:
    path = folder / "said"
    path.write_bytes(data)
    return read_metadata(open_scan_file(path, "a.tif", LIMITS))


def pages_of(data: bytes, folder: Path) -> int:
    path = folder / "pages"
    path.write_bytes(data)
    return len(probe_pages(open_scan_file(path, "a.tif", LIMITS), LIMITS))


@pytest.mark.parametrize("pointer", [0xFFFFFFFF, 9_000_001, len(PLAIN) - 3, 300])
def test_rubbish_for_the_next_directory_is_named_and_the_picture_read(
    pointer: int, opened: Opener, tmp_path: Path
) -> None:
    data = with_next(PLAIN, pointer)
    np.testing.assert_array_equal(grey_of(opened(data)), GREY)
    assert f"byte {pointer:,}" in metadata_of(data, tmp_path).lost[0]


def test_a_file_that_ends_where_the_next_directory_would_be_named_is_read(opened: Opener) -> None:
    data = pillow_bytes(GREY, "TIFF")
    at = struct.unpack_from("<I", data, 4)[0]
    moved = data[:4] + struct.pack("<I", len(data)) + data[8:] + data[at : at + 2 + 12 * data[at]]
    np.testing.assert_array_equal(grey_of(opened(moved)), GREY)


def test_a_cut_between_pages_is_still_a_cut(opened: Opener) -> None:
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        for _ in range(3):
            writer.write(GREY, metadata=None, contiguous=False)
    whole = data.getvalue()
    with tifffile.TiffFile(io.BytesIO(whole)) as tiff:
        third = tiff.pages[2].offset
    for end in (third, third + 1, third + 20):
        with pytest.raises(ScanError) as refused:
            opened(whole[:end])
        assert refused.value.code == "truncated"


@pytest.mark.parametrize("tag", [305, 270, 33723, 34675, 65001])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tag_that_points_beyond_the_file_is_named_and_the_picture_read(
    tag: int, compression: str | None, opened: Opener, tmp_path: Path
) -> None:
    more = [(tag, 7, 40, bytes(40), True)] if tag not in (305, 270) else []
    data = tiff_bytes(GREY, compression=compression, software="a scanner", description="A street", extratags=more)
    data = with_number(data, tag, 8_000_000)
    np.testing.assert_array_equal(grey_of(opened(data)), GREY)
    assert str(tag) in metadata_of(data, tmp_path).lost[0]


@pytest.mark.parametrize("how", [{"rowsperstrip": 16}, {"rowsperstrip": 25}, {}, {"tile": (32, 48)}])
@pytest.mark.parametrize("count", [0, 1 << 20, 0xFFFFFFFF])
@pytest.mark.parametrize("order", "<>")
def test_wrong_counts_of_uncompressed_pixels_lose_nothing(
    how: dict[str, Any], count: int, order: str, opened: Opener
) -> None:
    data = bytearray(tiff_bytes(GREY, byteorder=order, **how))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages.first.tags[325 if "tile" in how else 279]
    code, unit = ("I", 4) if tag.dtype == 4 else ("H", 2)
    for place in (0, tag.count - 1):
        struct.pack_into(order + code, data, tag.valueoffset + place * unit, min(count, (1 << 8 * unit) - 1))
    np.testing.assert_array_equal(grey_of(opened(bytes(data))), GREY)


def _has(data: bytes, tag: int) -> bool:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        return tag in tiff.pages.first.tags


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("rows", [16, 64])
def test_counts_that_are_missing_are_worked_out(compression: str | None, rows: int, opened: Opener) -> None:
    data = without(tiff_bytes(NOISY, compression=compression, rowsperstrip=rows), 279)
    assert not _has(data, 279)
    np.testing.assert_array_equal(grey_of(opened(data)), NOISY)


@pytest.mark.parametrize(
    ("tag", "number"),
    [(274, 0), (274, 9), (274, 65535), (296, 0), (296, 4), (266, 0), (266, 3), (284, 0), (339, 0), (317, 0), (277, 0)],
)
def test_a_number_that_can_not_be_is_read_as_the_tags_default(tag: int, number: int, opened: Opener) -> None:
    data = with_entry(tiff_bytes(GREY, resolution=(300, 300)), tag, 3, number)
    np.testing.assert_array_equal(grey_of(opened(data)), GREY)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("tag", [254, 255])
@pytest.mark.parametrize("format", ["tiff", "jpeg"])
def test_a_small_copy_by_either_flag_is_no_page(
    is_first: bool, tag: int, format: str, opened: Opener, tmp_path: Path
) -> None:
    out = io.BytesIO()
    flag = [(255, 3, 1, 2, True)] if tag == 255 else []
    with tifffile.TiffWriter(out) as writer:
        for is_small in (is_first, not is_first):
            writer.write(
                GREY[::4, ::4].copy() if is_small else GREY,
                subfiletype=1 if is_small and tag == 254 else None,
                extratags=flag if is_small else [],
                metadata=None,
                contiguous=False,
            )
    assert pages_of(out.getvalue(), tmp_path) == 1
    np.testing.assert_array_equal(grey_of(opened(out.getvalue())), GREY)


def test_every_picture_of_an_imagej_stack_is_a_page(tmp_path: Path) -> None:
    stack = np.stack([GREY, 255 - GREY, GREY // 2])
    out = io.BytesIO()
    tifffile.imwrite(out, stack[0], description="ImageJ=1.53t\nimages=3\nslices=3\n", metadata=None)
    path = tmp_path / "stack"
    path.write_bytes(out.getvalue() + stack[1:].tobytes())  # tifffile writes the pixels last
    file = open_scan_file(path, "a.tif", LIMITS)
    headers = probe_pages(file, LIMITS)
    for header, picture in zip(headers, stack, strict=True):
        np.testing.assert_array_equal(grey_of(OpenScan(file, header)), picture)


def test_a_stack_that_is_compressed_is_refused_with_a_word(opened: Opener) -> None:
    data = tiff_bytes(GREY, description="ImageJ=1.53t\nimages=3\n", compression="zlib")
    with pytest.raises(ScanError, match="stack of 3 pictures") as refused:
        opened(data)
    assert refused.value.code == "unsupported"


def test_a_stack_that_is_cut_is_truncated(opened: Opener) -> None:
    data = tiff_bytes(GREY, description="ImageJ=1.53t\nimages=3\n") + GREY.tobytes()
    with pytest.raises(ScanError) as refused:
        opened(data)
    assert refused.value.code == "truncated"


def test_a_description_copied_from_a_stack_is_no_stack(opened: Opener, tmp_path: Path) -> None:
    data = tiff_bytes(GREY, description="ImageJ=1.53t\nimages=3\n")
    np.testing.assert_array_equal(grey_of(opened(data)), GREY)
    assert "2 further pictures" in metadata_of(data, tmp_path).lost[0]


@pytest.mark.parametrize(("pointer", "name"), [(34665, "EXIF"), (34853, "GPS")])
def test_a_damaged_directory_costs_itself_alone(pointer: int, name: str, opened: Opener, tmp_path: Path) -> None:
    data = with_entry(tiff_bytes(GREY, description="A street", software="a scanner"), pointer, 4, 9_000_000)
    metadata = metadata_of(data, tmp_path)
    assert (metadata.exif.main[270].data, metadata.exif.main[305].data) == (b"A street\0", b"a scanner\0")
    assert metadata.lost == [f"TIFF {name} directory (damaged)"]
    _, composed = write_colour(opened(data), tmp_path, "tiff")
    assert composed.lost == tuple(metadata.lost)


@pytest.mark.parametrize(
    ("pixel", "is_named"), [(1.00000001, False), (1.00003, True), (-1e-6, False), (1.02, True), (-0.05, True)]
)
@pytest.mark.parametrize("bands", [1, 3])
def test_floats_a_little_beyond_are_clipped(
    pixel: float, is_named: bool, bands: int, opened: Opener, tmp_path: Path
) -> None:
    floats = (np.linspace(0, 1, 6000).reshape(60, 100)).astype(np.float32)
    floats[30, 50] = pixel
    data = tiff_bytes(
        np.dstack([floats] * bands) if bands > 1 else floats, photometric=("minisblack", "rgb")[bands > 1]
    )
    scan = opened(data)
    assert grey_of(scan)[30, 50] == (65535 if pixel > 0.5 else 0)
    assert bool(write_colour(scan, tmp_path, "tiff")[1].lost) == is_named


def test_floats_far_beyond_are_refused(opened: Opener) -> None:
    with pytest.raises(ScanError, match="floats from 0 to 1.5"):
        opened(tiff_bytes(np.linspace(0, 1.5, 6000).reshape(60, 100).astype(np.float32)))


@pytest.mark.parametrize("tag", [700, 270, 33723, 34675, 34665, 338])
def test_a_tag_of_a_type_that_nobody_knows_does_no_harm(tag: int, opened: Opener, tmp_path: Path) -> None:
    data = with_entry(tiff_bytes(GREY), tag, 0, 9_000_000, count=40)
    np.testing.assert_array_equal(grey_of(opened(data)), GREY)
    metadata_of(data, tmp_path)


def test_a_resolution_that_is_no_fraction_is_not_handed_on(opened: Opener, tmp_path: Path) -> None:
    """Other readers fail on such a tag in an output's EXIF."""
    place = entry_of(PLAIN, 282) + 2
    data = PLAIN[:place] + struct.pack("<HI", 1, 1) + PLAIN[place + 6 :]
    pixels, _ = write_colour(opened(data), tmp_path, "jpeg")
    assert pixels.shape == (*GREY.shape, 3)
