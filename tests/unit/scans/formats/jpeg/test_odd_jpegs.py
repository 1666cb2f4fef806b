"""JPEGs that have lost some of their pixels but have an end marker, and JPEGs that only look damaged."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from tests.unit.scans.conftest import Opener, grey_of, pillow_bytes
from worker.errors import ScanError
from worker.scans import is_scan_key, output_key
from worker.scans.reading import loading, scan
from worker.scans.reading.scan_file import ScanFile
from worker.scans.reading.strictness import words_of_reading
from worker.scans.vips import last_line

_Y, _X = np.mgrid[:256, :320]
NOISE = np.random.default_rng(0).normal(0, 6, (256, 320))
PICTURE = (128 + 60 * np.sin(_X / 30) + 40 * np.cos(_Y / 23) + NOISE).clip(0, 255).astype(np.uint8)
COLOUR = np.dstack([PICTURE] * 3)
KINDS = {
    "grey": pillow_bytes(PICTURE, "JPEG", quality=90),
    "ycbcr": pillow_bytes(COLOUR, "JPEG", quality=90),
    "progressive": pillow_bytes(PICTURE, "JPEG", quality=90, progressive=True),
    "optimized": pillow_bytes(PICTURE, "JPEG", quality=90, optimize=True),
    "restarts": pillow_bytes(PICTURE, "JPEG", quality=90, restart_marker_rows=1),
}
THUMBNAIL = pillow_bytes(PICTURE[::8, ::8].copy(), "JPEG")
END = b"\xff\xd9"
DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "a hole": lambda data, half: data[:half] + data[half + 3000 :],
    "a hole full of zeros": lambda data, half: data[:half] + bytes(3000) + data[half + 3000 :],
    "cut, and an end marker": lambda data, half: data[:half] + END,
    "cut, zeros, and an end marker": lambda data, half: data[:half] + bytes(len(data) - half) + END,
    "cut, and a second picture": lambda data, half: data[:half] + data,
    "cut, and a thumbnail": lambda data, half: data[:half] + THUMBNAIL,
    "a sector of zeros": lambda data, half: data[:half] + bytes(512) + data[half + 512 :],
    "zeros at the end": lambda data, half: data[:-302] + bytes(300) + END,
    "cut a little, and an end marker": lambda data, half: data[:-62] + END,
    "erased": lambda data, half: data[:half] + b"\xff" * 3000 + data[half + 3000 :],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_lost_pixels_before_a_later_end_marker_are_a_failure(kind: str, damage: str, opened: Opener) -> None:
    data = DAMAGES[damage](KINDS[kind], len(KINDS[kind]) // 2)
    with pytest.raises(ScanError) as refused:
        opened(data, "a.jpg").model_input()
    assert refused.value.code in ("unreadable", "truncated")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "progressive"])
@pytest.mark.parametrize("zeros", [16, 40, 64, 300])
def test_a_small_hole_of_zeros_is_a_failure(kind: str, zeros: int, opened: Opener) -> None:
    data = KINDS[kind]
    for at in np.random.default_rng(zeros).integers(len(data) // 4, len(data) - 400, 6):
        with pytest.raises(ScanError) as refused:
            opened(data[:at] + bytes(zeros) + data[at + zeros :], "a.jpg").model_input()
        assert refused.value.code in ("unreadable", "truncated")


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("place", [0, 100, 190])
def test_zeros_that_are_a_pictures_own_codes_are_no_hole(optimize: bool, place: int, opened: Opener) -> None:
    """A JPEG with tables of its own codes a blank area as zeros, but a hole in this area leaves some data over."""
    mostly_blank = np.full((256, 320), 200, np.uint8)
    mostly_blank[place : place + 50, 100:180] = PICTURE[:50, 100:180]
    data = pillow_bytes(mostly_blank, "JPEG", quality=90, optimize=optimize)
    assert np.abs(grey_of(opened(data, "a.jpg")).astype(int) - mostly_blank).max() < 60
    half = len(data) - 900 if place == 0 else len(data) // 2
    with pytest.raises(ScanError):
        opened(data[:half] + bytes(100) + data[half + 100 :], "a.jpg").model_input()


def test_a_lost_last_interval_is_a_failure(opened: Opener) -> None:
    """libjpeg reports it when the last rows are read, with another message than for data that end early."""
    data = KINDS["restarts"]
    last = max(data.rfind(bytes([0xFF, marker])) for marker in range(0xD0, 0xD8))
    with pytest.raises(ScanError) as refused:
        opened(data[:last] + END, "a.jpg")
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize("height", [200, 250, 257])
def test_a_blank_last_interval_is_the_pictures_own(height: int, opened: Opener) -> None:
    """The codes of this interval are zeros, from the restart marker before it on."""
    blank = np.full((height, 320), 128, np.uint8)
    blank[:10, 100:180] = PICTURE[:10, 100:180]
    data = pillow_bytes(blank, "JPEG", quality=90, optimize=True, restart_marker_blocks=48)
    assert data[:-2].rstrip(b"\0")[-2] == 0xFF, "no restart marker before the zeros"
    assert grey_of(opened(data, "a.jpg")).shape == (height, 320)


def test_messages_that_another_thread_s_error_removed_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(DAMAGES["cut a little, and an end marker"](KINDS["grey"], 0))
    turns = iter([True, True])

    def read() -> None:
        pyvips.Image.jpegload(str(path), access="sequential", fail_on="warning").avg()
        if next(turns, False):
            pyvips.Error("of another thread")

    assert "premature end" in words_of_reading(read)


def test_a_whole_jpeg_is_decoded_once(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(KINDS["grey"], "a.jpg")
    loads: list[ScanFile] = []
    plain = loading.load

    def counted(file: ScanFile, page: int = 0, **options: bool) -> pyvips.Image:
        loads.append(file)
        return plain(file, page, **options)

    for module in (loading, scan):
        monkeypatch.setattr(module, "load", counted)
    opened(KINDS["grey"], "a.jpg")
    assert len(loads) == 2, "its header and its pixels"


@pytest.mark.parametrize("height", [65, 129, 250, 257])
def test_the_last_rows_of_a_blank_picture_are_its_own(height: int, opened: Opener) -> None:
    """With these heights, a decoder that makes smaller copies does not read the last codes."""
    blank = np.full((height, 320, 3), 200, np.uint8)
    blank[:10, 100:180] = COLOUR[:10, 100:180]
    data = pillow_bytes(blank, "JPEG", quality=90, optimize=True)
    assert grey_of(opened(data, "a.jpg")).shape == (height, 320)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "after", [KINDS["grey"], THUMBNAIL, bytes(100), bytes(9000), b"a note", b"\xff" * 50, bytes(9000) + END]
)
def test_bytes_after_a_complete_picture_are_ignored(kind: str, after: bytes, opened: Opener) -> None:
    expected = grey_of(opened(KINDS[kind], "a.jpg"))
    np.testing.assert_array_equal(grey_of(opened(KINDS[kind] + after, "a.jpg")), expected)


ODDITIES: dict[str, Callable[[bytes], bytes]] = {
    "an unknown revision of JFIF": lambda data: data[:11] + b"\3" + data[12:],
    "stray bytes before the tables": lambda data: data[:20] + bytes(3) + data[20:],
    "stray bytes and a version": lambda data: data[:11] + b"\3" + data[12:20] + bytes(5) + data[20:],
    "a damaged profile": lambda data: data[:20] + b"\xff\xe2\0\x14ICC_PROFILE\0\1\2abcd" + data[20:],
    "an unknown transform": lambda data: data[:20] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x09" + data[20:],
    "padding before the end": lambda data: data[:-2] + bytes(40) + END,
    "more padding before the end": lambda data: data[:-2] + bytes(100) + END,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("oddity", ODDITIES)
def test_harmless_warnings_of_libjpeg_lose_no_pixels(kind: str, oddity: str, opened: Opener) -> None:
    expected = grey_of(opened(KINDS[kind], "a.jpg"))
    np.testing.assert_array_equal(grey_of(opened(ODDITIES[oddity](KINDS[kind]), "a.jpg")), expected)


@pytest.mark.parametrize("optimize", [False, True])
def test_a_restart_marker_behind_the_last_interval_is_neither_a_hole_nor_hides_one(
    optimize: bool, opened: Opener
) -> None:
    restart = b"\xff\xd7"
    mostly_blank = np.full((256, 320), 200, np.uint8)
    mostly_blank[190:240, 100:180] = PICTURE[:50, 100:180]
    data = pillow_bytes(mostly_blank, "JPEG", quality=90, optimize=optimize)
    expected = grey_of(opened(data, "a.jpg"))
    for padding in (b"", bytes(100)):
        read = grey_of(opened(data[:-2] + padding + restart + END, "a.jpg"))
        np.testing.assert_array_equal(read, expected)
    half = len(data) * 3 // 4
    for cut in (data[:half] + bytes(600), data[:half] + bytes(len(data) - half)):
        with pytest.raises(ScanError):
            opened(cut + restart + END, "a.jpg").model_input()


def in_scans(colour: bytes, grey: bytes) -> bytes:
    """A JPEG with one scan for grey and two for blank channels; it has the head of `colour` and the data of `grey`."""
    head = colour[: colour.index(b"\xff\xda")]
    coded = grey[grey.index(b"\xff\xda") + 10 : -2]
    channels = zip((1, 2, 3), (0, 0x11, 0x11), (coded, bytes(640), bytes(640)), strict=True)  # 4 bits a block
    scans = (bytes([0xFF, 0xDA, 0, 8, 1, channel, tables, 0, 63, 0]) + data for channel, tables, data in channels)
    return head + b"".join(scans) + END


def test_blank_channels_in_scans_of_their_own_are_no_hole(opened: Opener) -> None:
    data = in_scans(pillow_bytes(COLOUR, "JPEG", quality=90, subsampling=0), KINDS["grey"])
    grey = grey_of(opened(data, "a.jpg")).astype(int)
    assert np.abs(grey - grey_of(opened(KINDS["grey"], "a.jpg"))).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_harmless_warning_hides_no_damage(kind: str, opened: Opener) -> None:
    data = ODDITIES["an unknown revision of JFIF"](KINDS[kind])
    with pytest.raises(ScanError):
        opened(DAMAGES["a hole"](data, len(data) // 2), "a.jpg").model_input()


@pytest.mark.parametrize("kind", ["grey", "progressive"])
def test_a_streamed_scan_is_read_as_strictly(kind: str, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.scans.reading.probe.HELD_BYTES", 1)
    scan = opened(ODDITIES["an unknown revision of JFIF"](KINDS[kind]), "a.jpg")
    scan.model_input()
    assert grey_of(scan).shape == PICTURE.shape
    with pytest.raises(ScanError):
        opened(DAMAGES["a hole"](KINDS[kind], len(KINDS[kind]) // 2), "a.jpg").model_input()


def test_lost_pixels_of_a_jpeg_in_a_tiff_are_a_failure_too(opened: Opener) -> None:
    out = io.BytesIO()
    Image.fromarray(PICTURE).save(out, "TIFF", compression="jpeg", quality=90, tiffinfo={278: 256})
    data = bytearray(out.getvalue())
    half = len(data) // 2
    data[half : half + 2000] = bytes(2000)
    with pytest.raises(ScanError) as refused:
        opened(bytes(data)).model_input()
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "jpe", "jfif", "jif", "JPG", "JFIF"])
def test_every_extension_of_jpegs_is_a_scans(extension: str) -> None:
    assert is_scan_key(f"box/1.{extension}")
    assert output_key(f"box/1.{extension}", "jpeg") == f"box/1.{extension}"


def test_a_decoder_that_gives_no_reason_is_not_quoted() -> None:
    assert last_line(pyvips.Error("unable to call pngload", "\n")) == "its decoder or encoder gives no details"
    assert last_line(pyvips.Error("unable to call", "tiff2vips: bad\ntiff2vips: read error")) == "tiff2vips: bad"
