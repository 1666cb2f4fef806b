"""TIFFs of kinds that libvips has no decoder for, or misreads; by tifffile and Pillow."""

import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.unit.scans.conftest import pillow_bytes, ramp, tiff_bytes
from tests.unit.scans.formats.tiff.tiff_edits import number_of, with_entry, with_number
from tests.unit.scans.variants.variant import Variant
from worker.colour.lab import lightness_to_grey

GREY8, GREY16 = ramp(64, 96), ramp(64, 96, 16)
LAYOUTS: dict[str, dict[str, Any]] = {"strips": {"rowsperstrip": 24}, "tiles": {"tile": (16, 32)}}
_PACKERS: dict[int, Callable[[bytes], Any]] = {
    5: imagecodecs.lzw_encode, 8: zlib.compress, 32773: imagecodecs.packbits_encode, 34925: lzma.compress,
    50000: imagecodecs.zstd_encode,
}  # fmt: skip
NEUTRAL8 = np.zeros_like(GREY8)


def unpacked_variants() -> list[Variant]:
    return [*_few_bits(), *_wide(), *_lab(), *_ycbcr(), *_packed_otherwise(), *_not_read(), *_damaged()]


def scaled(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of so many bits as levels of 8 or 16."""
    full = 255 if bits <= 8 else 65535
    levels = np.rint(samples.astype(np.float64) * full / ((1 << bits) - 1))
    return levels.astype(np.uint8 if bits <= 8 else np.uint16)


def _few_bits() -> Iterator[Variant]:
    for bits, (layout, how) in itertools.product((10, 12, 14), LAYOUTS.items()):
        samples = GREY16 >> (16 - bits)
        data = tiff_bytes(samples, bitspersample=bits, **how)
        yield Variant(f"tiff {bits} bits {layout}", data, scaled(samples, bits))
    for bits, (coding, pack) in itertools.product((10, 12, 14), _PACKERS.items()):
        samples = GREY16 >> (16 - bits)
        data = _packed(tiff_bytes(samples, bitspersample=bits, rowsperstrip=64), coding, pack)
        yield Variant(f"tiff {bits} bits by compression {coding}", data, scaled(samples, bits))
    samples = GREY16 >> 4
    white_is_zero = tiff_bytes(0xFFF - samples, bitspersample=12, photometric="miniswhite")
    yield Variant("tiff 12 bits white is zero", white_is_zero, scaled(samples, 12))
    odd_width = tiff_bytes(samples[:, :95], bitspersample=12)
    yield Variant("tiff 12 bits, half a byte at each row's end", odd_width, scaled(samples[:, :95], 12))
    for bits in (2, 4, 12):
        of_bits = GREY16 >> (16 - bits)
        narrow = of_bits.astype(np.uint8 if bits < 8 else np.uint16)
        data = tiff_bytes(np.dstack([narrow] * 3), photometric="rgb", bitspersample=bits)
        yield Variant(f"tiff rgb {bits} bits", data, scaled(of_bits, bits), within=1)
    apart = {"photometric": "rgb", "planarconfig": "separate", "bitspersample": 12}
    for layout, how in LAYOUTS.items():
        data = tiff_bytes(np.stack([samples] * 3), **apart, **how)
        yield Variant(f"tiff 12 bits in planes {layout}", data, scaled(samples, 12), within=2)
    half = np.full_like(samples, 0x800)
    for kind in ("unassalpha", "unspecified"):
        both = {"planarconfig": "contig", "extrasamples": [kind], "bitspersample": 12}
        data = tiff_bytes(np.dstack([samples, half]), photometric="minisblack", **both)
        yield Variant(f"tiff 12 bits and {kind}", data, scaled(samples, 12))
        data = tiff_bytes(np.dstack([0xFFF - samples, half]), photometric="miniswhite", **both)
        yield Variant(f"tiff 12 bits white is zero and {kind}", data, scaled(samples, 12))
    padded = tiff_bytes(np.vstack([samples, samples[:8]]), bitspersample=12, rowsperstrip=72)
    for coding, pack in _PACKERS.items():
        data = with_number(_packed(padded, coding, pack), 257, 64)
        yield Variant(f"tiff 12 bits, more rows than its height in compression {coding}", data, scaled(GREY16 >> 4, 12))
    turned = _from_low_bit(tiff_bytes(GREY16 >> 4, bitspersample=12, rowsperstrip=64))
    yield Variant("tiff 12 bits from the low bit", turned, scaled(GREY16 >> 4, 12))


def _packed(data: bytes, coding: int, pack: Callable[[bytes], Any], missing_bytes: int = 0) -> bytes:
    """A TIFF of one strip without compression, packed; the strip's last bytes may be left out."""
    start, length = (number_of(data, tag) for tag in (273, 279))
    strip = bytes(pack(data[start : start + length - missing_bytes]))
    packed = with_number(with_number(data, 273, len(data)), 279, len(strip))
    return with_number(packed, 259, coding) + strip


def _from_low_bit(data: bytes) -> bytes:
    """A TIFF of one strip, each of its bytes turned round, as FillOrder 2 says."""
    start, length = (number_of(data, tag) for tag in (273, 279))
    turned = data[:start] + imagecodecs.bitorder_encode(data[start : start + length]) + data[start + length :]
    return with_entry(turned, 266, 3, 2)


def _wide() -> Iterator[Variant]:
    integers, floats = GREY16.astype(np.uint32) * 65537, GREY16 / 65535
    for layout, how in LAYOUTS.items():
        yield Variant(f"tiff integers of 32 bits {layout}", tiff_bytes(integers, **how), GREY16)
        yield Variant(f"tiff floats of 64 bits {layout}", tiff_bytes(floats, **how), GREY16)
        packed = tiff_bytes(floats, compression="lzw", byteorder=">", **how)
        yield Variant(f"tiff floats of 64 bits {layout} lzw", packed, GREY16)
        rgb = tiff_bytes(np.dstack([integers] * 3), photometric="rgb", **how)
        yield Variant(f"tiff rgb integers of 32 bits {layout}", rgb, GREY16, within=2)
        planes = tiff_bytes(np.stack([integers] * 3), photometric="rgb", planarconfig="separate", **how)
        yield Variant(f"tiff planes of integers of 32 bits {layout}", planes, GREY16, within=2)
    white_is_zero = tiff_bytes((1 << 32) - 1 - integers, photometric="miniswhite")
    yield Variant("tiff integers of 32 bits white is zero", white_is_zero, GREY16)
    alpha = np.full_like(integers, (1 << 32) - 1)
    both = np.dstack([integers, integers, integers, alpha])
    data = tiff_bytes(both, photometric="rgb", extrasamples=["unassalpha"])
    yield Variant("tiff integers of 32 bits with alpha", data, GREY16, within=2)
    rgb = tiff_bytes(np.dstack([floats] * 3), photometric="rgb")
    yield Variant("tiff rgb floats of 64 bits", rgb, GREY16, within=2)


def _lab() -> Iterator[Variant]:
    middle = np.full_like(GREY8, 128)
    of_8 = np.rint(lightness_to_grey(GREY8 / 2.55)).astype(np.uint8)
    of_16 = np.rint(lightness_to_grey(GREY16.astype(np.float64) / 655.35) * 257).astype(np.uint16)
    icc_16 = np.minimum(GREY16, 0xFF00)
    of_icc_16 = np.rint(lightness_to_grey(icc_16 / 652.8) * 257).astype(np.uint16)
    for layout, how in LAYOUTS.items():
        lab = tiff_bytes(np.dstack([GREY8, NEUTRAL8, NEUTRAL8]), photometric="cielab", **how)
        yield Variant(f"tiff lab {layout}", lab, of_8, within=1)
        icc = tiff_bytes(np.dstack([GREY8, middle, middle]), photometric="icclab", compression="lzw", **how)
        yield Variant(f"tiff icc lab {layout}", icc, of_8, within=1)
        deep = np.dstack([GREY16, np.zeros_like(GREY16), np.zeros_like(GREY16)])
        lab = tiff_bytes(deep, photometric="cielab", predictor=True, compression="zlib", **how)
        yield Variant(f"tiff lab 16 {layout}", lab, of_16, within=16)
        deep = np.dstack([icc_16, np.full_like(GREY16, 0x8000), np.full_like(GREY16, 0x8000)])
        yield Variant(f"tiff icc lab 16 {layout}", tiff_bytes(deep, photometric="icclab", **how), of_icc_16, within=16)
    ignored = tiff_bytes(np.dstack([GREY8, NEUTRAL8, NEUTRAL8]), photometric="cielab")
    yield Variant("tiff lab with a predictor of no meaning", with_entry(ignored, 317, 3, 2), of_8, within=1)
    clear = np.dstack([GREY8, NEUTRAL8, NEUTRAL8, middle])
    data = tiff_bytes(clear, photometric="cielab", planarconfig="contig", extrasamples=["unassalpha"])
    yield Variant("tiff lab with alpha", data, of_8, within=1)
    colours = np.dstack([GREY8, np.full_like(GREY8, 236), np.full_like(GREY8, 40)])  # a* -20, b* 40
    yield Variant("tiff lab in colour", tiff_bytes(colours, photometric="cielab"), of_8, within=1)


def _ycbcr() -> Iterator[Variant]:
    for coding in (None, "tiff_lzw"):
        image = Image.fromarray(np.dstack([GREY8] * 3)).convert("YCbCr")
        data = pillow_bytes(image, "TIFF", compression=coding)
        yield Variant(f"tiff ycbcr {coding}", with_entry(data, 530, 3, 0x10001, 2), GREY8, within=1)
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 2)):
        groups = GREY8.reshape(64 // down, down, 96 // across, across).transpose(0, 2, 1, 3)
        shape = (64 // down, 96 // across)
        units = np.concatenate([groups.reshape(*shape, -1), np.full((*shape, 2), 128)], axis=-1)
        data = _as_ycbcr(np.ascontiguousarray(units, np.uint8).tobytes(), across, down)
        yield Variant(f"tiff ycbcr of {across} x {down} pixels a colour", data, GREY8, within=1)


def _as_ycbcr(units: bytes, across: int, down: int) -> bytes:
    """A TIFF of one strip with these groups of pixels."""
    rgb = np.zeros((64, 96, 3), np.uint8)
    data = tiff_bytes(rgb, photometric="rgb", rowsperstrip=64)
    start = number_of(data, 273)
    data = data[:start] + units + data[start + len(units) :]
    return with_entry(with_number(with_number(data, 279, len(units)), 262, 6), 530, 3, down << 16 | across, 2)


def _packed_otherwise() -> Iterator[Variant]:
    noisy = (GREY8 // 2 + np.random.default_rng(0).integers(0, 99, GREY8.shape)).astype(np.uint8)
    for coding, (layout, how) in itertools.product(("zstd", "lzma"), LAYOUTS.items()):
        packed = {"compression": coding, **how}
        yield Variant(f"tiff {coding} {layout}", tiff_bytes(noisy, **packed), noisy)
        yield Variant(f"tiff {coding} 16 {layout}", tiff_bytes(GREY16, predictor=True, **packed), GREY16)
        yield Variant(f"tiff {coding} 16 {layout} >", tiff_bytes(GREY16, byteorder=">", **packed), GREY16)
        rgb = tiff_bytes(np.dstack([noisy] * 3), photometric="rgb", predictor=True, **packed)
        yield Variant(f"tiff rgb {coding} {layout}", rgb, noisy, within=1)
        bilevel = tiff_bytes(noisy > 100, photometric="minisblack", **packed)
        yield Variant(f"tiff 1 bit {coding} {layout}", bilevel, np.where(noisy > 100, 255, 0).astype(np.uint8))


def _not_read() -> Iterator[Variant]:
    lab = np.dstack([GREY8, NEUTRAL8, NEUTRAL8, NEUTRAL8])
    multiplied = tiff_bytes(lab, photometric="cielab", planarconfig="contig", extrasamples=["assocalpha"])
    yield Variant("tiff lab multiplied by alpha", multiplied, code="unsupported")
    dark = np.dstack([*[np.full_like(GREY16, 4000, np.uint32)] * 3, np.full_like(GREY16, (1 << 32) - 1, np.uint32)])
    yield Variant(
        "tiff of dark integers of 32 bits and alpha",
        tiff_bytes(dark, photometric="rgb", extrasamples=["unassalpha"]),
        code="unsupported",
    )
    of_24_bits = GREY16.astype(np.uint32) << 8
    yield Variant("tiff of 24 bits in integers of 32", tiff_bytes(of_24_bits), code="unsupported")
    whole = tiff_bytes(GREY16 >> 4, bitspersample=12, rowsperstrip=64)
    yield Variant("tiff of no bits", with_number(whole, 258, 0), code="unsupported")
    old = with_number(tiff_bytes(GREY8, compression="jpeg"), 259, 6)
    yield Variant("tiff of old-style jpeg", old, code="unsupported")
    little = tiff_bytes((GREY16 >> 4).astype(np.uint32))
    yield Variant("tiff 12 bits in integers of 32", little, code="unsupported")
    alpha = np.full_like(GREY16, 1 << 31, np.uint32)
    both = np.dstack([*[GREY16.astype(np.uint32) * 32768] * 3, alpha])
    multiplied = tiff_bytes(both, photometric="rgb", extrasamples=["assocalpha"])
    yield Variant("tiff integers of 32 bits multiplied by alpha", multiplied, code="unsupported")
    signed = tiff_bytes(GREY16.astype(np.int32))
    yield Variant("tiff signed integers of 32 bits", signed, code="unsupported")
    yield Variant("tiff integers of 64 bits", tiff_bytes(GREY16.astype(np.uint64)), code="unsupported")
    white_is_zero = tiff_bytes(GREY16 / 65535, photometric="miniswhite")
    yield Variant("tiff floats of 64 bits white is zero", white_is_zero, code="unsupported")
    itu = tiff_bytes(np.dstack([GREY8, NEUTRAL8, NEUTRAL8]), photometric=10)
    yield Variant("tiff itu lab", itu, code="unsupported")


def _damaged() -> Iterator[Variant]:
    noise = np.random.default_rng(0).integers(0, 40, (64, 96)).astype(np.uint16) * 100
    whole = tiff_bytes(noise, bitspersample=12, rowsperstrip=64)
    for coding, pack in _PACKERS.items():
        data = bytearray(_packed(whole, coding, pack))
        start, length = (number_of(data, tag) for tag in (273, 279))
        data[start + length // 2 :] = b"\x80" * (length - length // 2)
        yield Variant(f"tiff unpacked, half of compression {coding} damaged", bytes(data), code="unreadable")
        short = _packed(whole, coding, pack, missing_bytes=500)
        yield Variant(f"tiff unpacked, fewer pixels than its size in compression {coding}", short, code="unreadable")
    broad = _packed(whole, 50000, _PACKERS[50000])
    for tag in (256, 257, 278):
        broad = with_number(broad, tag, 60_000)
    yield Variant("tiff unpacked, of more pixels than a classic TIFF has room for", broad, code="too_large")
    ycbcr = with_entry(_as_ycbcr(bytes(3 * 64 * 96), 1, 1), 530, 3, 1)
    yield Variant("tiff ycbcr with half a subsampling", ycbcr, code="unreadable")
    tiles = tiff_bytes(noise, compression="zstd", tile=(64, 96))
    for tag in (322, 323):
        tiles = with_number(tiles, tag, 1 << 20)
    yield Variant("tiff unpacked, a tile many times as large as its picture", tiles, code="unsupported")
    tall = with_number(with_number(whole, 257, (1 << 31) - 1), 278, 1)
    yield Variant("tiff unpacked, one strip of a billion", tall, code="unreadable")
