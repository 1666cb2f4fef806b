"""Every kind of file that archives have, written by Pillow or tifffile, and the expected result."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from tests.unit.scans.conftest import Opener, alpha_of, grey_of, pillow_bytes, ramp, tiff_bytes
from worker.colour.lab import luminance_to_lightness, srgb_to_linear
from worker.errors import ScanError
from worker.scans.formats.tiff.tags import Tag

GREY8, GREY16 = ramp(), ramp(bits=16)
RGB8 = np.dstack([GREY8, GREY8, GREY8])
BINARY = GREY8 > 100


def _palette(levels: int) -> Image.Image:
    return Image.fromarray(GREY8).quantize(levels)


EXACT = {
    "jpeg grey": pillow_bytes(GREY8, "JPEG", quality=100),
    "jpeg progressive": pillow_bytes(GREY8, "JPEG", quality=100, progressive=True),
    "png grey 8": pillow_bytes(GREY8, "PNG"),
    "png grey 16": pillow_bytes(GREY16, "PNG"),
    "png rgb of greys": pillow_bytes(RGB8, "PNG"),
    "tiff 8": tiff_bytes(GREY8),
    "tiff 16": tiff_bytes(GREY16),
    "tiff 16 big-endian": tiff_bytes(GREY16, byteorder=">"),
    "tiff 8 bigtiff": tiff_bytes(GREY8, bigtiff=True),
    "tiff 8 lzw": pillow_bytes(GREY8, "TIFF", compression="tiff_lzw"),
    "tiff 8 packbits": pillow_bytes(GREY8, "TIFF", compression="packbits"),
    "tiff 8 deflate": tiff_bytes(GREY8, compression="zlib"),
    "tiff 16 deflate predictor": tiff_bytes(GREY16, compression="zlib", predictor=True),
    "tiff 16 tiled": tiff_bytes(GREY16, tile=(16, 32)),
    "tiff 8 strips": tiff_bytes(GREY8, rowsperstrip=7),
    "tiff 8 white is zero": tiff_bytes(255 - GREY8, photometric="miniswhite"),
    "tiff 16 white is zero": tiff_bytes(65535 - GREY16, photometric="miniswhite"),
    "tiff rgb of greys": tiff_bytes(RGB8, photometric="rgb"),
    "tiff rgb planar": tiff_bytes(RGB8.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
    "tiff 48 bit of greys": tiff_bytes(np.dstack([GREY16] * 3), photometric="rgb"),
    "tiff float": tiff_bytes((GREY16 / 65535).astype(np.float32)),
}


@pytest.mark.parametrize("kind", EXACT)
def test_a_grey_scan_is_read_level_by_level(kind: str, opened: Opener) -> None:
    scan = opened(EXACT[kind], "a.tif")
    expected = GREY16 if scan.bit_depth == 16 else GREY8
    assert ("16" in kind or "float" in kind or "48" in kind) == (scan.bit_depth == 16)
    np.testing.assert_allclose(grey_of(scan).astype(int), expected.astype(int), atol=2 if "jpeg" in kind else 0)


def test_channels_that_lie_apart_have_the_tiles_that_their_sides_ask_for(opened: Opener) -> None:
    """If the list of tiles is longer than the height and the width need, the rest of it is ignored, as in libtiff."""
    top = ramp(16, 96)
    planes = np.stack([np.tile(top, (4, 1)), np.full((64, 96), 200, np.uint8), np.full((64, 96), 90, np.uint8)])
    taller = tiff_bytes(planes, photometric="rgb", planarconfig="separate", tile=(16, 32))
    length = struct.pack("<HHI", Tag.IMAGE_LENGTH, 4, 1)
    assert taller.count(length + struct.pack("<I", 64)) == 1

    scan = opened(taller.replace(length + struct.pack("<I", 64), length + struct.pack("<I", 16)), "a.tif")

    np.testing.assert_array_equal(grey_of(scan), top)


@pytest.mark.parametrize("compression", [None, "group3", "group4", "packbits", "tiff_lzw"])
def test_a_one_bit_tiff_is_black_and_white(compression: str | None, opened: Opener) -> None:
    scan = opened(pillow_bytes(Image.fromarray(BINARY), "TIFF", compression=compression), "a.tif")
    assert scan.bit_depth == 8
    np.testing.assert_array_equal(grey_of(scan), np.where(BINARY, 255, 0))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_spans_black_to_white(bits: int, opened: Opener) -> None:
    levels = np.arange(1 << bits, dtype=np.uint8)[None].repeat(4, axis=0)
    scan = opened(_png_of_bits(levels, bits), "a.png")
    np.testing.assert_array_equal(grey_of(scan), levels * (255 // ((1 << bits) - 1)))


@pytest.mark.parametrize("levels", [2, 4, 16, 200])
def test_a_palette_png_shows_its_palette(levels: int, opened: Opener) -> None:
    image = _palette(levels)
    scan = opened(pillow_bytes(image, "PNG"), "a.png")
    np.testing.assert_allclose(grey_of(scan).astype(int), np.asarray(image.convert("L")).astype(int), atol=1)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept_apart_from_grey(mode: str, opened: Opener) -> None:
    image = Image.fromarray(GREY8).convert(mode)
    image.putalpha(Image.fromarray(GREY8[::-1].copy()))
    scan = opened(pillow_bytes(image, "PNG"), "a.png")
    assert scan.header.has_alpha
    np.testing.assert_array_equal(grey_of(scan), GREY8)
    np.testing.assert_array_equal(alpha_of(scan), GREY8[::-1])


def test_a_toned_scan_is_read_by_its_lightness(opened: Opener) -> None:
    sepia = (RGB8 * [1.0, 0.86, 0.65]).round().astype(np.uint8)
    grey = grey_of(opened(tiff_bytes(sepia, photometric="rgb"), "a.tif"))
    luminance = srgb_to_linear(sepia / 255) @ [0.2126729, 0.7151522, 0.0721750]
    found = luminance_to_lightness(srgb_to_linear(grey / 255))
    assert np.abs(found - luminance_to_lightness(luminance)).max() < 0.25  # half a level of 8-bit grey


@pytest.mark.parametrize("mode", ["YCbCr", "RGB", "CMYK"])
def test_a_colour_coded_jpeg_of_greys_is_read(mode: str, opened: Opener) -> None:
    image = Image.fromarray(RGB8).convert(mode)
    scan = opened(pillow_bytes(image, "JPEG", quality=100), "a.jpg")
    grey = grey_of(scan).astype(int).ravel()
    # Without a profile, CMYK's greys depend on the assumed inks, but black, white and the order of the greys do not.
    if mode == "CMYK":
        assert grey[0] < 60
        assert grey[-1] > 250
        assert np.corrcoef(grey, GREY8.ravel())[0, 1] > 0.98
    else:
        np.testing.assert_allclose(grey, GREY8.ravel().astype(int), atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, opened: Opener) -> None:
    stored = Image.fromarray(GREY8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(pillow_bytes(stored, "PNG", exif=exif))))
    scan = opened(pillow_bytes(stored, "PNG", exif=exif), "a.png")
    assert (scan.width, scan.height) == upright.size
    np.testing.assert_array_equal(grey_of(scan), np.asarray(upright))


@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_exif_of_imagemagicks_older_pngs_turns_the_scan_too(name: str, opened: Opener) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block, texts = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"), PngImagePlugin.PngInfo()
    texts.add_text(f"Raw profile type {name}", f"\n{name}\n{len(block):8}\n{block.hex()}\n", zip=True)
    scan = opened(pillow_bytes(GREY8, "PNG", pnginfo=texts), "a.png")
    np.testing.assert_array_equal(grey_of(scan), np.rot90(GREY8, -1))


REFUSED = {
    "a pdf": (b"%PDF-1.7\n" + b"x" * 100, "unsupported"),
    "an svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "unsupported"),
    "a gif": (pillow_bytes(GREY8, "GIF"), "unsupported"),
    "nothing": (b"", "empty"),
    "32-bit integers": (tiff_bytes(GREY16.astype(np.uint32)), "unsupported"),
    "floats beyond 1": (tiff_bytes(GREY16.astype(np.float32)), "unsupported"),
    "not a number": (tiff_bytes(np.full((9, 9), np.nan, np.float32)), "unsupported"),
    "doubles beyond 1": (tiff_bytes(GREY16 / 6553), "unsupported"),
    "five channels": (
        tiff_bytes(np.zeros((9, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig"),
        "unsupported",
    ),
    "a jpeg of noise": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9 + b"\xff\xd9", "unreadable"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_a_scan_is_refused_with_its_code(what: str, opened: Opener) -> None:
    data, code = REFUSED[what]
    with pytest.raises(ScanError) as refused:
        opened(data, "box/0001.tif")
    assert (refused.value.code, refused.value.permanent) == (code, True)
    assert "box/0001.tif" in refused.value.message
    assert "expected" in refused.value.message
    assert "/tmp" not in refused.value.message
    assert "\n" not in refused.value.message


def test_a_thumbnail_beside_the_page_is_no_second_page(opened: Opener) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(GREY8)
        writer.write(GREY8[::4, ::4].copy(), subfiletype=1)
    np.testing.assert_array_equal(grey_of(opened(out.getvalue(), "a.tif")), GREY8)


def _png_of_bits(levels: NDArray[np.uint8], bits: int) -> bytes:
    """A PNG of 1, 2 or 4 bits per grey sample, made by hand because Pillow writes such PNGs as palettes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = levels.shape
    rows = b""
    for row in levels:
        packed = "".join(f"{level:0{bits}b}" for level in row).ljust(-(-width * bits // 8) * 8, "0")
        rows += b"\0" + int(packed, 2).to_bytes(len(packed) // 8, "big")
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["uint16", "float"])
def test_a_turned_scan_too_large_to_hold_is_read_alike(
    orientation: int, kind: str, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = GREY16 if kind == "uint16" else (GREY16 / 65535).astype(np.float32)
    data = tiff_bytes(pixels, extratags=[(274, 3, 1, orientation, True)])
    held = opened(data)
    expected = grey_of(held)
    monkeypatch.setattr("worker.scans.reading.probe.HELD_BYTES", 1)
    streamed = opened(data)

    assert (held.header.is_held, streamed.header.is_held) == (True, False)
    np.testing.assert_array_equal(grey_of(streamed), expected)
    np.testing.assert_allclose(streamed.model_input().lightness, held.model_input().lightness, atol=1.5)
    streamed.discard()
    assert [path.name for path in streamed.file.path.parent.iterdir()] == ["source"]
