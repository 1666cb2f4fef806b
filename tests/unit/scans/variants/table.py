"""Kinds of files that archives hold, made by writers that are not ours: Pillow, tifffile, imagecodecs and OpenCV."""

import io
import itertools
from collections.abc import Iterator
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.unit.scans.conftest import pillow_bytes, ramp, tiff_bytes
from tests.unit.scans.variants.odd_variants import odd_variants
from tests.unit.scans.variants.unpacked_variants import unpacked_variants
from tests.unit.scans.variants.variant import Variant

GREY8, GREY16 = ramp(64, 96), ramp(64, 96, 16)
BINARY = GREY8 > 100


def all_variants() -> list[Variant]:
    return [
        *_tifffile(),
        *_pillow_tiff(),
        *_png(),
        *_jpeg(),
        *_jp2(),
        *_webp(),
        *_opencv(),
        *_refused(),
        *odd_variants(),
        *unpacked_variants(),
    ]


def _tifffile() -> Iterator[Variant]:
    layouts: dict[str, dict[str, Any]] = {"strips": {"rowsperstrip": 7}, "tiles": {"tile": (16, 32)}}
    greys = (GREY8, GREY16)
    for grey, compression, (layout, how), order, big in itertools.product(
        greys, (None, "zlib"), layouts.items(), "<>", (False, True)
    ):
        name = f"tiff {grey.dtype} {compression} {layout} {order} {'big' if big else 'classic'}"
        yield Variant(name, tiff_bytes(grey, compression=compression, byteorder=order, bigtiff=big, **how), grey)
    for grey, (layout, how), planar in itertools.product(greys, layouts.items(), ("contig", "separate")):
        rgb = np.stack([grey] * 3, axis=2 if planar == "contig" else 0)
        data = tiff_bytes(rgb, photometric="rgb", planarconfig=planar, **how)
        name = f"tiff rgb {grey.dtype} {layout} {planar}"
        yield Variant(name, data, grey)
    for grey, order in itertools.product(greys, "<>"):
        inverted = np.iinfo(grey.dtype).max - grey
        yield Variant(
            f"tiff {grey.dtype} white is zero {order}",
            tiff_bytes(inverted, photometric="miniswhite", byteorder=order),
            grey,
        )
        yield Variant(
            f"tiff {grey.dtype} predictor {order}",
            tiff_bytes(grey, compression="zlib", predictor=True, byteorder=order),
            grey,
        )
        alpha = np.full_like(grey, np.iinfo(grey.dtype).max)
        with_alpha = tiff_bytes(
            np.dstack([grey, alpha]), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig",
            byteorder=order,
        )  # fmt: skip
        yield Variant(f"tiff {grey.dtype} alpha {order}", with_alpha, grey)
    for grey, is_inverted, compression, (layout, how) in itertools.product(
        greys, (False, True), (None, "zlib"), layouts.items()
    ):
        full = np.iinfo(grey.dtype).max
        data = tiff_bytes(
            np.stack([full - grey if is_inverted else grey, np.full_like(grey, full)]), **how,
            photometric="miniswhite" if is_inverted else "minisblack", planarconfig="separate",
            extrasamples=["unassalpha"], compression=compression,
        )  # fmt: skip
        white = " white is zero" if is_inverted else ""
        yield Variant(f"tiff {grey.dtype} alpha {layout} separate {compression}{white}", data, grey)
    floats = (GREY16 / 65535).astype(np.float32)
    yield Variant("tiff float", tiff_bytes(floats), GREY16)
    yield Variant("tiff float rgb", tiff_bytes(np.dstack([floats] * 3), photometric="rgb"), GREY16, within=1)


def _pillow_tiff() -> Iterator[Variant]:
    for compression in (None, "tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate"):
        yield Variant(f"tiff L {compression}", pillow_bytes(GREY8, "TIFF", compression=compression), GREY8)
        yield Variant(f"tiff I;16 {compression}", pillow_bytes(GREY16, "TIFF", compression=compression), GREY16)
        rgb = np.dstack([GREY8] * 3)
        yield Variant(f"tiff RGB {compression}", pillow_bytes(rgb, "TIFF", compression=compression), GREY8)
    yield Variant("tiff L jpeg", pillow_bytes(GREY8, "TIFF", compression="jpeg", quality=100), GREY8, within=2)
    black_and_white = np.where(BINARY, 255, 0).astype(np.uint8)
    for compression in (None, "group3", "group4", "packbits", "tiff_lzw", "tiff_deflate"):
        data = pillow_bytes(Image.fromarray(BINARY), "TIFF", compression=compression)
        yield Variant(f"tiff 1 bit {compression}", data, black_and_white)
    palette = Image.fromarray(GREY8).quantize(256)
    yield Variant("tiff palette", pillow_bytes(palette, "TIFF"), np.asarray(palette.convert("L")), within=1)


def _png() -> Iterator[Variant]:
    rgb = np.dstack([GREY8] * 3)
    opaque = np.full_like(GREY8, 255)
    yield Variant("png 8", pillow_bytes(GREY8, "PNG"), GREY8)
    yield Variant("png 16", pillow_bytes(GREY16, "PNG"), GREY16)
    yield Variant("png rgb", pillow_bytes(rgb, "PNG"), GREY8)
    yield Variant("png grey alpha", pillow_bytes(Image.fromarray(np.dstack([GREY8, opaque])), "PNG"), GREY8)
    yield Variant("png rgba", pillow_bytes(np.dstack([rgb, opaque]), "PNG"), GREY8)
    yield Variant("png 1 bit", pillow_bytes(Image.fromarray(BINARY), "PNG"), np.where(BINARY, 255, 0))
    for bits in (1, 2, 4, 8):
        palette = Image.fromarray(GREY8).quantize(1 << bits)
        data = pillow_bytes(palette, "PNG", bits=bits)
        yield Variant(f"png palette {bits} bit", data, np.asarray(palette.convert("L")), within=1)


def _jpeg() -> Iterator[Variant]:
    rgb = Image.fromarray(np.dstack([GREY8] * 3))
    for progressive in (False, True):
        options: dict[str, Any] = {"quality": 100, "progressive": progressive}
        kind = "progressive" if progressive else "baseline"
        yield Variant(f"jpeg grey {kind}", pillow_bytes(GREY8, "JPEG", **options), GREY8, within=2)
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            data = pillow_bytes(rgb, "JPEG", subsampling=subsampling, **options)
            yield Variant(f"jpeg ycbcr {subsampling} {kind}", data, GREY8, within=2)
        yield Variant(f"jpeg rgb {kind}", pillow_bytes(rgb, "JPEG", keep_rgb=True, **options), GREY8, within=2)
    restarts = pillow_bytes(GREY8, "JPEG", quality=100, restart_marker_rows=1)
    yield Variant("jpeg restart markers", restarts, GREY8, within=2)


def _jp2() -> Iterator[Variant]:
    rgb, opaque = np.dstack([GREY8] * 3), np.full_like(GREY8, 255)
    lossless = {"irreversible": False}
    for name, pixels, options in (
        ("grey", GREY8, lossless),
        ("grey in tiles", GREY8, {"tile_size": (40, 24), **lossless}),
        ("grey in tiles of an odd place", GREY8, {"tile_size": (40, 24), "offset": (3, 5), "tile_offset": (1, 2)}),
        ("rgb", rgb, lossless),
        ("rgba", np.dstack([rgb, opaque]), lossless),
        ("grey alpha", np.dstack([GREY8, opaque]), lossless),
        ("in layers by resolution", GREY8, {"progression": "RLCP", "num_resolutions": 3}),
        ("in precincts", GREY8, {"precinct_size": (32, 32), "codeblock_size": (16, 16)}),
        ("a codestream", GREY8, {"no_jp2": True}),
    ):
        yield Variant(f"jp2 {name}", pillow_bytes(Image.fromarray(pixels), "JPEG2000", **options), GREY8)
    lossy = pillow_bytes(GREY8, "JPEG2000", irreversible=True, quality_mode="dB", quality_layers=[30, 60])
    yield Variant("jp2 with loss in layers", lossy, GREY8, within=2)
    yield Variant("jp2 16", pillow_bytes(GREY16, "JPEG2000"), GREY16)
    yield Variant("jp2 16 rgb", imagecodecs.jpeg2k_encode(np.dstack([GREY16] * 3), reversible=True), GREY16)
    for bits in (4, 10, 12):
        levels = GREY16 >> (16 - bits)
        kind, most = (np.uint8, 255) if bits <= 8 else (np.uint16, 65535)
        data = imagecodecs.jpeg2k_encode(levels.astype(kind), reversible=True, bitspersample=bits)
        spread = np.rint(levels / ((1 << bits) - 1) * most).astype(kind)
        yield Variant(f"jp2 {bits} bits", data, spread)


def _webp() -> Iterator[Variant]:
    rgb, opaque = np.dstack([GREY8] * 3), np.full_like(GREY8, 255)
    yield Variant("webp", pillow_bytes(rgb, "WEBP", quality=100), GREY8, within=4)
    yield Variant("webp without loss", pillow_bytes(rgb, "WEBP", lossless=True), GREY8)
    yield Variant("webp rgba", pillow_bytes(np.dstack([rgb, opaque]), "WEBP", lossless=True), GREY8)


def _opencv() -> Iterator[Variant]:
    for extension, grey in itertools.product(("png", "tiff", "jp2"), (GREY8, GREY16)):
        for name, pixels in (("grey", grey), ("rgb", cv2.merge([grey] * 3))):
            yield Variant(f"opencv {extension} {name} {grey.dtype}", _encoded(extension, pixels), grey)
    yield Variant("opencv jpeg", _encoded("jpg", GREY8, cv2.IMWRITE_JPEG_QUALITY, 100), GREY8, within=2)


def _encoded(extension: str, pixels: NDArray[Any], *options: int) -> bytes:
    ok, data = cv2.imencode(f".{extension}", pixels, options)
    assert ok
    return bytes(data)


def _refused() -> Iterator[Variant]:
    for format in ("GIF", "BMP", "PPM", "TGA", "PDF", "ICO"):
        yield Variant(f"a {format}", pillow_bytes(GREY8, format), code="unsupported")
    odd = {
        "32-bit integers": tiff_bytes(GREY16.astype(np.uint32)),
        "signed": tiff_bytes((GREY16 // 2).astype(np.int16)),
        "floats beyond 1": tiff_bytes(GREY16.astype(np.float32)),
        "complex": tiff_bytes(GREY16.astype(np.complex64)),
        "five channels": tiff_bytes(np.zeros((9, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig"),
    }
    yield from (Variant(f"tiff of {name}", data, code="unsupported") for name, data in odd.items())
    signed = imagecodecs.jpeg2k_encode(GREY8.astype(np.int8), reversible=True)
    yield Variant("a jp2 of signed samples", signed, code="unsupported")
    frames = [Image.fromarray(GREY8), Image.fromarray(255 - GREY8)]
    moving = pillow_bytes(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield Variant("a webp of two frames", moving, code="unsupported")
    whole = {name: pillow_bytes(GREY8, name.upper()) for name in ("jpeg", "png", "webp")}
    whole |= {"tiff": tiff_bytes(GREY8), "jp2": pillow_bytes(GREY8, "JPEG2000", tile_size=(40, 24))}
    for name, data in whole.items():
        yield Variant(f"half a {name}", data[: len(data) // 2], code="truncated")
    yield Variant("nothing", b"", code="empty")
    yield Variant("text", b"no scan at all, but a note on one", code="unsupported")
    damaged = io.BytesIO(whole["png"])
    damaged.seek(60)
    damaged.write(b"damage!!")
    yield Variant("a damaged png", damaged.getvalue(), code="unreadable")
