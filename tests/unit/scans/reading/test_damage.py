"""Files that are cut short, damaged or of a hostile size fail with their code, before they cost much."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.scans.conftest import LIMITS, Opener, grey_of, pillow_bytes, ramp, tiff_bytes, write_colour
from worker.errors import ScanError
from worker.scans import ScanLimits, open_scan, probe

NOISY = (ramp(120, 160) // 2 + np.random.default_rng(0).integers(0, 99, (120, 160))).astype(np.uint8)
WHOLE = {
    "jpeg": pillow_bytes(NOISY, "JPEG", quality=90),
    "jpeg progressive": pillow_bytes(NOISY, "JPEG", quality=90, progressive=True),
    "png": pillow_bytes(NOISY, "PNG"),
    "tiff": tiff_bytes(NOISY),
    "tiff lzw, directory last": pillow_bytes(NOISY, "TIFF", compression="tiff_lzw"),
    "tiff deflate": tiff_bytes(NOISY, compression="zlib", rowsperstrip=10),
    "tiff tiled": tiff_bytes(NOISY, tile=(32, 32)),
    "tiff jpeg": pillow_bytes(NOISY, "TIFF", compression="jpeg"),
    "bigtiff": tiff_bytes(NOISY, bigtiff=True),
}
ERROR_CODES = {"unreadable", "truncated", "unsupported", "too_large", "empty"}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_short_anywhere_fails_as_truncated(kind: str, opened: Opener) -> None:
    data = WHOLE[kind]
    opened(data)
    # If the directory comes last, the last bytes only say that no other directory follows: pixels don't need them.
    longest = len(data) - (5 if "directory last" in kind else 1)
    for length in [*np.linspace(8, longest, 40).astype(int), longest - 1]:
        with pytest.raises(ScanError) as failed:
            opened(data[:length])
        assert failed.value.code == "truncated", (length, failed.value.message)
        assert failed.value.permanent


@pytest.mark.parametrize("kind", WHOLE)
def test_trailing_bytes_after_a_whole_file_do_no_harm(kind: str, opened: Opener) -> None:
    opened(WHOLE[kind] + bytes(100))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_flipped_bytes_fail_with_a_code_or_are_read(opened: Opener, kind: str, data: st.DataObject) -> None:
    damaged = bytearray(WHOLE[kind])
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    error = _error_of(opened, bytes(damaged))
    assert error is None or (error.code in ERROR_CODES and "\n" not in error.message)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(_small_png(1_000_000, 1_000_000))
    tracemalloc.start()
    with pytest.raises(ScanError, match="1,000,000 x 1,000,000") as refused:
        probe(bomb, "a.png", LIMITS)
    assert refused.value.code == "too_large"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_file_of_too_many_bytes_is_not_even_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"not a scan")
    with pytest.raises(ScanError, match="10 bytes; expected at most 9") as refused:
        open_scan(path, "a.png", ScanLimits(max_bytes=9, max_pixels=10))
    assert refused.value.code == "too_large"


def test_pixels_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(WHOLE["png"])
    assert probe(path, "a.png", ScanLimits(1 << 20, NOISY.size)).width == 160
    with pytest.raises(ScanError, match="expected at most"):
        probe(path, "a.png", ScanLimits(1 << 20, NOISY.size - 1))


def test_a_header_says_how_much_memory_the_scan_needs(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(tiff_bytes(np.zeros((1000, 2000), np.uint16), compression="zlib"))
    header = probe(path, "a.tif", LIMITS)
    assert (header.format, header.width, header.height, header.bit_depth) == ("tiff", 2000, 1000, 16)
    assert header.decoded_bytes >= 2000 * 1000 * 2 * 4


def test_a_tiff_whose_directories_loop_is_read_once(opened: Opener) -> None:
    data = bytearray(tiff_bytes(NOISY))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    np.testing.assert_array_equal(grey_of(opened(bytes(data))), NOISY)


def _error_of(opened: Opener, data: bytes) -> ScanError | None:
    try:
        opened(data).model_input()
    except ScanError as error:
        return error
    return None


def _small_png(width: int, height: int) -> bytes:
    """A PNG of less than 100 bytes whose header promises this many pixels."""

    def chunk(data: bytes) -> bytes:
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(head) + chunk(b"IDAT" + zlib.compress(bytes(9))) + chunk(b"IEND")


def test_tiles_that_are_too_few_or_too_many_beside_each_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    few = bytearray(tiff_bytes(np.zeros((64, 96), np.uint8), tile=(16, 32)))
    at = few.index(struct.pack("<HHI", 256, 4, 1)) + 8
    few[at : at + 4] = struct.pack("<I", 1_000_000)
    many = tiff_bytes(np.zeros((16, 16 * 2049), np.uint8), tile=(16, 16))
    for data, said in ((bytes(few), "fewer tiles than its size needs"), (many, "2,049 tiles beside each other")):
        path.write_bytes(data)
        with pytest.raises(ScanError, match=said):
            probe(path, "a.tif", LIMITS)


@pytest.mark.parametrize("shape", [(2, 40_000), (40_000, 2), (65_536, 1)])
def test_a_16_bit_scan_may_be_longer_than_opencv_maps_at_once(
    shape: tuple[int, int], opened: Opener, tmp_path: Path
) -> None:
    scan = opened(tiff_bytes(np.linspace(0, 65535, shape[0] * shape[1]).astype(np.uint16).reshape(shape)))
    output, _ = write_colour(scan, tmp_path, "tiff")
    assert output.shape == (*shape, 3)
