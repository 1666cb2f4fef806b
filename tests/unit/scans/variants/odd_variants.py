"""Kinds of files that are rare, or that libraries read differently; the libraries in `variants` write these too."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.unit.scans.conftest import pillow_bytes, ramp, tiff_bytes
from tests.unit.scans.variants.channel_variants import channel_variants
from tests.unit.scans.variants.variant import Variant

GREY8, GREY16 = ramp(64, 96), ramp(64, 96, 16)
FLOATS = (GREY16 / 65535).astype(np.float32)
TILES: dict[str, Any] = {"tile": (16, 32)}


def odd_variants() -> list[Variant]:
    return [
        *channel_variants(),
        *_coded_otherwise(),
        *_transparent_png(),
        *_refused(),
        *_not_alone(),
        *_damaged(),
    ]


def _coded_otherwise() -> Iterator[Variant]:
    white_is_zero = tiff_bytes(GREY8 <= 100, photometric="miniswhite", **TILES)
    yield Variant("tiff 1 bit white is zero tiles", white_is_zero, np.where(GREY8 > 100, 255, 0).astype(np.uint8))
    yield Variant("tiff half floats", tiff_bytes(FLOATS.astype(np.float16)), GREY16, within=16)
    yield Variant("tiff float predictor", tiff_bytes(FLOATS, compression="zlib", predictor=True, **TILES), GREY16)
    rgb = Image.fromarray(np.dstack([GREY8] * 3))
    ycbcr = pillow_bytes(rgb.convert("YCbCr"), "TIFF", compression="jpeg", quality=100)
    yield Variant("tiff ycbcr in jpeg", ycbcr, GREY8, within=2)
    for subsampling, (layout, how) in itertools.product(((1, 1), (2, 2)), {"strips": {}, "tiles": TILES}.items()):
        data = tiff_bytes(
            np.asarray(rgb.convert("YCbCr")), photometric="ycbcr", compression="jpeg", subsampling=subsampling,
            compressionargs={"level": 100}, **how,
        )  # fmt: skip
        yield Variant(f"tiff ycbcr in jpeg {subsampling} {layout}", data, GREY8, within=4)
    webp = tiff_bytes(np.asarray(rgb), photometric="rgb", compression="webp", compressionargs={"lossless": True})
    yield Variant("tiff webp", webp, GREY8, within=4)
    levels = np.arange(65536, dtype=np.uint16)
    palette = tiff_bytes(GREY16, photometric="palette", colormap=np.stack([levels] * 3))
    yield Variant("tiff palette 16", palette, GREY16)
    yield Variant("jpeg without loss", imagecodecs.ljpeg_encode(GREY8), GREY8)


def _transparent_png() -> Iterator[Variant]:
    yield Variant("png one level transparent", pillow_bytes(GREY8, "PNG", transparency=100), GREY8)
    colours = Image.fromarray(GREY8).quantize(16)
    grey = np.asarray(colours.convert("L"))
    yield Variant("png palette, one transparent", pillow_bytes(colours, "PNG", transparency=3), grey, within=1)
    shares = bytes(17 * number for number in range(16))
    yield Variant("png palette, each its alpha", pillow_bytes(colours, "PNG", transparency=shares), grey, within=1)
    whole = imagecodecs.png_encode(GREY16)
    level = struct.pack(">H", int(GREY16[9, 9]))
    chunk = struct.pack(">I", 2) + b"tRNS" + level + struct.pack(">I", zlib.crc32(b"tRNS" + level))
    yield Variant("png 16 one level transparent", whole[:33] + chunk + whole[33:], GREY16)


def _refused() -> Iterator[Variant]:
    """Files that libvips would read wrongly without a warning, or would report as damaged."""
    for compression, how in itertools.product(("jpeg2000", "lerc", "png", "jpegxl"), ({}, TILES)):
        data = tiff_bytes(GREY8, compression=compression, **how)
        yield Variant(f"tiff {compression} {'tiles' if how else 'strips'}", data, code="unsupported")
    yield Variant("tiff float white is zero", tiff_bytes(1 - FLOATS, photometric="miniswhite"), code="unsupported")
    both = np.dstack([FLOATS / 2, np.full_like(FLOATS, 0.5)])
    grey = tiff_bytes(both, photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"])
    yield Variant("tiff of grey floats multiplied by alpha", grey, code="unsupported")
    inks = np.dstack([GREY8] * 5)
    spot = tiff_bytes(inks, photometric="separated", planarconfig="contig", extrasamples=["unspecified"])
    yield Variant("tiff cmyk and a fifth ink", spot, code="unsupported")
    four = tiff_bytes(inks[..., :4], photometric="separated", planarconfig="contig", extratags=[(332, 3, 1, 2, True)])
    yield Variant("tiff of four other inks", four, code="unsupported")
    yield Variant("tiff logluv", tiff_bytes(np.dstack([FLOATS] * 3), photometric="logluv"), code="unsupported")
    for name, how in (("strips", {}), ("tiles of planes", {**TILES, "planarconfig": "separate"})):
        pixels = np.stack([GREY8] * 3) if how else GREY8
        unsaid = bytearray(tiff_bytes(pixels, photometric="rgb" if how else "minisblack", **how))
        at = unsaid.index(struct.pack("<HH", 262, 3))
        unsaid[at : at + 2] = struct.pack("<H", 260)  # a tag of no meaning
        yield Variant(f"tiff without photometric interpretation, {name}", bytes(unsaid), code="unsupported")
    rgba = pillow_bytes(Image.fromarray(np.dstack([GREY8] * 4)), "JPEG2000")
    channels = rgba.index(b"cdef") + 6
    for name, at, value in (("multiplied by alpha", 3 * 6 + 2, 2), ("with blue first", 4, 3)):
        odd = rgba[: channels + at] + struct.pack(">H", value) + rgba[channels + at + 2 :]
        yield Variant(f"jp2 {name}", odd, code="unsupported")
    yield Variant("jpeg 12 bits", imagecodecs.jpeg_encode(GREY16 >> 4, 90, bitspersample=12), code="unsupported")
    yield Variant("jpeg ls", imagecodecs.jpegls_encode(GREY8), code="unsupported")


def _not_alone() -> Iterator[Variant]:
    """Files with several pictures, of which a reader shows only the first."""
    moving = imagecodecs.apng_encode(np.stack([GREY8, 255 - GREY8]))
    yield Variant("png of two frames", moving, code="unsupported")
    yield Variant("png of one frame", imagecodecs.apng_encode(GREY8[None]), GREY8)
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as tiff:
        tiff.write(GREY8[::4, ::4], subfiletype=1, subifds=1, metadata=None)
        tiff.write(GREY16, metadata=None)
    yield Variant("tiff of a small copy, its picture below", out.getvalue(), code="unsupported")
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as tiff:
        tiff.write(GREY8, metadata=None)
        tiff.write(GREY8 > 100, subfiletype=4, photometric="mask", metadata=None)
    yield Variant("tiff with a transparency mask", out.getvalue(), code="unsupported")


def _damaged() -> Iterator[Variant]:
    """Files in which one of several strips or tiles can't be decoded, or is decoded to wrong pixels."""
    noisy = (GREY8 // 2 + np.random.default_rng(0).integers(0, 99, GREY8.shape)).astype(np.uint8)
    layouts: dict[str, dict[str, Any]] = {"strips": {"rowsperstrip": 16}, "tiles": TILES}
    for compression, (layout, how) in itertools.product(("zlib", "lzw", "packbits"), layouts.items()):
        data = bytearray(tiff_bytes(noisy, compression=compression, **how))
        start, length = _piece(data, 1)
        data[start + length // 2 : start + length] = b"\x80" * (length - length // 2)
        yield Variant(f"tiff {compression} {layout}, one damaged", bytes(data), code="unreadable")
    for (layout, how), bit in itertools.product(layouts.items(), (1, 64)):
        data = bytearray(tiff_bytes(noisy, compression="zlib", **how))
        start, length = _piece(data, 2)
        data[start + length // 2] ^= bit
        yield Variant(f"tiff deflate {layout}, bit {bit} flipped", bytes(data), code="unreadable")
    for layout, how in layouts.items():
        data = bytearray(tiff_bytes(GREY8, **how))
        at = data.index(struct.pack("<I", _piece(data, 2)[0]))
        data[at : at + 4] = bytes(4)
        yield Variant(f"tiff {layout}, one at the byte 0", bytes(data), code="unreadable")


def _piece(data: bytearray, number: int) -> tuple[int, int]:
    """First byte and length of a strip or tile."""
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tiff:
        page = tiff.pages.first
        return page.dataoffsets[number], page.databytecounts[number]
