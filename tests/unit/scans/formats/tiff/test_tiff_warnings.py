"""TIFFs with complete pictures, for which libtiff only gives warnings."""

import io
import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.unit.scans.conftest import Opener, grey_of, pillow_bytes, ramp
from tests.unit.scans.formats.tiff.tiff_edits import with_number
from worker.errors import ScanError

GREY = ramp(96, 64)
RGB = np.dstack([GREY] * 3)
END = b"\xff\xd9"


def tiff(
    strips: Sequence[bytes], compression: int, photometric: int, bits: Sequence[int], **more: Sequence[int]
) -> bytes:
    """A TIFF of 64 x 96 pixels; `more` are samples, colour_map, rows."""
    data, places = b"II*\0\0\0\0\0", []
    for strip in strips:
        places.append(len(data))
        data += strip + bytes(len(strip) % 2)
    tags = {256: [64], 257: [96], 258: bits, 259: [compression], 262: [photometric], 273: places}
    tags |= {277: more.get("samples", [len(bits)]), 278: more.get("rows", [96]), 279: [len(strip) for strip in strips]}
    tags |= {320: more["colour_map"]} if "colour_map" in more else {}
    entries = b""
    for tag, numbers in sorted(tags.items()):
        letter = "I" if tag in (273, 279) else "H"
        packed = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            data, packed = data + packed + bytes(len(packed) % 2), struct.pack("<I", len(data))
        entries += struct.pack("<HHI", tag, 4 if letter == "I" else 3, len(numbers)) + packed.ljust(4, b"\0")
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg(pixels: NDArray[np.uint8], **options: int) -> bytes:
    return pillow_bytes(pixels, "JPEG", quality=95, **options)


def with_channels(*channels: NDArray[np.uint8]) -> list[bytes]:
    return [bytes(np.dstack(channels).tobytes())]


def old_lzw(pixels: bytes) -> bytes:
    """LZW codes of 9 bits, with the lowest bit first, as early programs wrote them."""
    codes = [code for at in range(0, len(pixels), 200) for code in (256, *pixels[at : at + 200])] + [257]
    packed: int = sum(code << 9 * number for number, code in enumerate(codes))
    return packed.to_bytes(len(codes) * 9 // 8 + 1, "little")


def packbits(pixels: NDArray[np.uint8]) -> bytes:
    """A run of bytes for each row; the last run is longer than its row."""
    rows: list[bytes] = [row.tobytes() for row in pixels]
    return b"".join(bytes([63]) + row for row in rows[:-1]) + bytes([66]) + rows[-1] + b"\1\2\3"


NOTHING, FULL = np.zeros_like(GREY), np.full_like(GREY, 255)
PADDED = np.vstack([GREY[64:], GREY[64:]])
WHOLE = jpeg(GREY)
WHOLE_STRIP = jpeg(GREY[:32])
PICTURES = {
    "RGB and a channel without a kind": tiff(with_channels(RGB, FULL), 1, 2, [8] * 4),
    "grey and a channel without a kind": tiff(with_channels(GREY, FULL), 1, 1, [8] * 2),
    "CMYK and a channel without a kind": tiff(
        with_channels(NOTHING, NOTHING, NOTHING, 255 - GREY, FULL), 1, 5, [8] * 5
    ),
    "bits of more channels than there are": tiff([GREY.tobytes()], 1, 1, [8] * 3, samples=[1]),
    "a colour map of grey": tiff([GREY.tobytes()], 1, 1, [8], colour_map=[0] * 300),
    "YCbCr without its subsampling": tiff([jpeg(RGB, subsampling=0)], 7, 6, [8] * 3),
    "a last strip of JPEG with too many rows": tiff([jpeg(GREY[:64]), jpeg(PADDED)], 7, 1, [8], rows=[64]),
    "zeros before JPEG's end": tiff([WHOLE[:-2] + bytes(3) + END], 7, 1, [8]),
    "old LZW": tiff([old_lzw(GREY.tobytes())], 5, 1, [8]),
    "a row of PackBits that is too long": tiff([packbits(GREY)], 32773, 1, [8]),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_warning_that_loses_no_pixel_is_no_failure(kind: str, opened: Opener) -> None:
    grey = grey_of(opened(PICTURES[kind])).astype(int)
    assert grey.shape == GREY.shape
    assert np.abs(grey - GREY).max() <= (40 if "CMYK" in kind else 12)  # ink on paper is no full black


def test_a_harmless_warning_hides_no_damage_in_a_later_strip(opened: Opener) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    whole, damaged = jpeg(RGB[:32], subsampling=0), jpeg(noisy, subsampling=0)
    damaged = damaged[: len(damaged) // 2] + END
    # The tags do not give the subsampling, so libtiff warns about this first.
    assert grey_of(opened(tiff([whole] * 3, 7, 6, [8] * 3, rows=[32]))).shape == GREY.shape
    with pytest.raises(ScanError, match="Corrupt JPEG data|Premature end") as refused:
        opened(tiff([whole, whole, damaged], 7, 6, [8] * 3, rows=[32])).model_input()
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize("lost", [40, 300])
def test_a_tile_of_jpeg_that_lost_pixels_is_refused(lost: int, opened: Opener) -> None:
    picture = np.random.default_rng(0).integers(90, 160, (256, 256)).astype(np.uint8)
    out = io.BytesIO()
    tifffile.imwrite(out, picture, tile=(128, 128), compression="jpeg", compressionargs={"level": 90})
    data = out.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, length = file.pages[0].dataoffsets[1], file.pages[0].databytecounts[1]
    assert grey_of(opened(data)).shape == picture.shape
    end = start + length
    with pytest.raises(ScanError, match="premature end") as refused:
        opened(data[: end - lost - 2] + END + bytes(lost) + data[end:]).model_input()
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize("end", [bytes(2000), b""])
def test_a_strip_of_jpeg_that_lost_its_half_is_refused(end: bytes, opened: Opener) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, GREY.shape).astype(np.uint8)
    data = jpeg(noisy)
    cut = tiff([data[: len(data) // 2] + end + data[len(data) // 2 + 2500 :]], 7, 1, [8])
    with pytest.raises(ScanError, match="Corrupt JPEG data|Premature end") as refused:
        opened(cut).model_input()
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize(("bits", "is_lossless"), [(12, False), (12, True), (16, True)])
@pytest.mark.parametrize("is_tiled", [True, False])
def test_jpeg_of_more_than_8_bits_is_another_kind_and_no_damage(
    bits: int, is_lossless: bool, is_tiled: bool, opened: Opener
) -> None:
    deep = GREY.astype(np.uint16) << (bits - 8)
    piece = bytes(imagecodecs.jpeg_encode(deep, bitspersample=bits, lossless=is_lossless))
    data = with_tile(piece) if is_tiled else tiff([piece], 7, 1, [16])
    with pytest.raises(ScanError, match="precision") as refused:
        opened(data).model_input()
    assert refused.value.code == "unsupported"


def with_tile(tile: bytes) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, iter([tile]), shape=GREY.shape, dtype=np.uint16, tile=GREY.shape, compression="jpeg")
    return with_number(out.getvalue(), 258, 16)  # libtiff reads 16 bits; tifffile wrote the tile's number
