"""TIFF pages that libvips (8.18) can't read, or misreads: they are unpacked into a plain TIFF beside the scan.

These are samples of 2 to 15 bits that libtiff leaves packed, floats of 64 bits, CIE Lab, YCbCr that is not JPEG, and
pages packed by LZMA or Zstandard. TIFF 6.0, sections 8, 14, 21 and 23; for ICC's Lab, Adobe's Photoshop TIFF Technical
Notes (2002).
"""

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import imagecodecs
import numpy as np
import pyvips
from numpy.typing import NDArray

from worker.colour.gamut import lab_to_linear_in_gamut
from worker.colour.lab import linear_to_srgb
from worker.scans.formats.errors import FormatError, UnsupportedKind
from worker.scans.formats.tiff.ifd_reader import IfdReader
from worker.scans.formats.tiff.layout import (
    ASSOCIATED_ALPHA,
    DEFLATES,
    FLOATS,
    LABS,
    MINISBLACK,
    MINISWHITE,
    RGB,
    YCBCR,
    TiffPage,
    read_pieces,
)
from worker.scans.formats.tiff.page_view import load_directory, pixel_tags
from worker.scans.formats.tiff.tags import Tag, Tags, TagsError, long, long8, short, shorts
from worker.system.whole_files import write_beside_then_rename

Samples = NDArray[Any]  # uint8, uint16 or float32

_NONE, _LZW, _PACKBITS, _LZMA, _ZSTD = 1, 5, 32773, 34925, 50000  # Compression
_UNSIGNED, _SIGNED = 1, 2  # SampleFormat
_DOUBLE = 64  # bits
_HORIZONTAL = 2  # Predictor
_FROM_THE_LOW_BIT = 2  # FillOrder
_ICC_LAB = LABS[1]
_HUGE = 1e30  # what is so far outside 0..1 is refused later
_KINDS = {8: np.uint8, 16: np.uint16, 32: np.float32}  # of written samples, by bits
_HEAD = b"II*\0\x08\0\0\0"  # of a TIFF whose directory is given to libvips apart
_FEWEST_ROWS, _MOST_STRIPS = 16, 1 << 14  # that are written
_SAMPLES_AT_ONCE = 1 << 20  # that are converted, which takes up to 50 bytes a sample
_MOST_TIMES, _PADDING_BYTES = 2, 1 << 18  # of the pixels that are expected: what a strip may have besides
_LARGEST_TILE = 1 << 24  # pixels by which a tile may be larger than its picture
_LZMA_BYTES = 1 << 27  # for its dictionary; the largest that is usual needs half of it
# What describes the packed pixels, and not those that are written.
_OF_PACKED = {
    *(Tag.TILE_WIDTH, Tag.TILE_LENGTH, Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS, Tag.PREDICTOR, Tag.FILL_ORDER),
    *(Tag.SAMPLE_FORMAT, Tag.PLANAR_CONFIG, Tag.YCBCR_COEFFICIENTS, Tag.YCBCR_SUBSAMPLING, Tag.YCBCR_POSITIONING),
    *(Tag.REFERENCE_BLACK_WHITE, Tag.JPEG_TABLES),
}


def wants_unpacking(page: TiffPage) -> bool:
    """Whether the page is of a kind that is read here."""
    bits, is_unsigned = page.bits, page.sample_format == _UNSIGNED
    if page.compression not in _UNPACKERS or _colours_of(page) != page.samples - len(page.extra_samples):
        return False
    is_multiplied = ASSOCIATED_ALPHA in page.extra_samples  # libvips divides only what has sRGB's curve
    if page.photometric in LABS:
        return bits in (8, 16) and page.sample_format in (_UNSIGNED, _SIGNED) and not is_multiplied
    if page.photometric == YCBCR:
        return bits == 8 and is_unsigned and page.samples == 3 and not page.is_planar
    if page.sample_format == FLOATS:
        return bits == _DOUBLE and page.photometric != MINISWHITE and not is_multiplied
    if not (is_unsigned and 1 <= bits <= 16):
        return False
    return page.compression in (_LZMA, _ZSTD) or bits not in (1, 2, 4, 8, 16) or (bits < 8 and page.samples > 1)


def _colours_of(page: TiffPage) -> int:
    """How many channels the page's colours have; -1 for kinds that are not read here."""
    if page.photometric in (MINISWHITE, MINISBLACK):
        return 1
    return 3 if page.photometric in (RGB, YCBCR, *LABS) else -1


def load_unpacked(path: Path, page: TiffPage, target: Path) -> pyvips.Image:
    """The page as an image, after its pixels were written to `target`. Raises pyvips.Error, FormatError."""
    with path.open("rb") as file, _broken_tags():
        packed = _Packed.of(file, page)
        if not target.exists():
            with write_beside_then_rename(target) as part, part.open("wb") as out:
                out.write(_HEAD)
                for rows in _rows(file, packed):
                    out.write(np.ascontiguousarray(rows).data)
    return load_directory(target, packed.plain_tags(), "error")


def header_of_unpacked(path: Path, page: TiffPage) -> pyvips.Image:
    """An image with the header that `load_unpacked` gives; its pixels must not be read."""
    with path.open("rb") as file, _broken_tags():
        return load_directory(path, _Packed.of(file, page).plain_tags(is_header=True), "error")


@contextmanager
def _broken_tags() -> Iterator[None]:
    """Turns what Python says of impossible numbers and missing tags into a FormatError."""
    try:
        yield
    except FormatError:
        raise
    except (LookupError, ValueError, struct.error) as error:
        raise TagsError(f"a tag is missing, or not what it should be: {error}") from None


def unpacking_bytes(page: TiffPage) -> int:
    """The largest memory, in bytes, that unpacking takes: a strip or a row of tiles, packed, unpacked and converted."""
    samples = page.place.piece_width * page.place.piece_height * page.samples
    row = page.place.width * page.place.piece_height * page.samples
    sample_bytes = 24 if page.bits == _DOUBLE else 4
    packed = _most_packed(page.piece_bytes) + (_LZMA_BYTES if page.compression == _LZMA else 0)
    # Channels that lie apart are unpacked one after the other, and then joined.
    joined = sample_bytes * samples * (2 if page.is_planar else 1)
    return packed + 3 * page.piece_bytes + joined + 4 * row + 50 * _SAMPLES_AT_ONCE


def _most_packed(unpacked_bytes: int) -> int:
    """The bytes that are read of a strip or tile at most, whatever length its tag gives."""
    return _MOST_TIMES * unpacked_bytes + _PADDING_BYTES


@dataclass(frozen=True)
class _Packed:
    """A page and those of its tags that say how its pixels are packed."""

    page: TiffPage
    tags: Tags
    order: str  # < or >, of 16-bit samples
    predictor: int
    is_from_low_bit: bool
    subsampling: tuple[int, int] = (1, 1)  # of YCbCr: pixels across and down that share Cb and Cr

    @classmethod
    def of(cls, file: BinaryIO, page: TiffPage) -> Self:
        """Raises FormatError, or UnsupportedKind for a combination that is not read."""
        tags = pixel_tags(file, page)
        pieces = tags[Tag.TILE_OFFSETS if page.is_tiled else Tag.STRIP_OFFSETS].count
        if pieces < page.place.pieces:
            raise FormatError(f"it has {pieces:,} strips or tiles; its size needs {page.place.pieces:,}")
        place = page.place
        if place.piece_width * place.piece_height > place.width * place.height + _LARGEST_TILE:
            raise UnsupportedKind(f"tiles of {place.piece_width:,} x {place.piece_height:,} pixels")
        bits = tags[Tag.BITS_PER_SAMPLE].numbers() if Tag.BITS_PER_SAMPLE in tags else []
        if len(set(bits)) > 1:
            raise UnsupportedKind(f"channels of {', '.join(map(str, bits))} bits")
        knows_predictor = page.compression not in (_NONE, _PACKBITS) and Tag.PREDICTOR in tags
        predictor = tags[Tag.PREDICTOR].number() if knows_predictor else 1
        if predictor != 1 and (predictor != _HORIZONTAL or page.bits not in (8, 16) or page.photometric == YCBCR):
            raise UnsupportedKind(f"predictor {predictor} with samples of {page.bits} bits")
        fill = tags[Tag.FILL_ORDER].number() if Tag.FILL_ORDER in tags else 1
        packed = cls(page, tags, IfdReader(file).order, predictor, fill == _FROM_THE_LOW_BIT)
        if page.photometric != YCBCR:
            return packed
        across, down = tags[Tag.YCBCR_SUBSAMPLING].numbers()[:2] if Tag.YCBCR_SUBSAMPLING in tags else (2, 2)
        if across not in (1, 2, 4) or down not in (1, 2, 4):
            raise FormatError(f"it says that {across} x {down} pixels share a colour")
        return replace(packed, subsampling=(across, down))

    @property
    def depth(self) -> int:
        """8, 16, or 32 for floats: the bits of the samples that are written."""
        if self.page.sample_format == FLOATS:
            return 32
        return 8 if self.page.bits <= 8 else 16

    def plain_tags(self, is_header: bool = False) -> Tags:
        """Of a TIFF with the written pixels, without compression, in strips; or only with their header."""
        place, bands, is_grey = self.page.place, self.page.samples, _colours_of(self.page) == 1
        row_bytes = place.width * bands * self.depth // 8
        rows = place.height if is_header else max(_FEWEST_ROWS, -(-place.height // _MOST_STRIPS))
        tops = range(0, place.height, rows)
        left_out = _OF_PACKED | ({Tag.ICC_PROFILE} if self.page.photometric in LABS else set())  # of Lab, not of sRGB
        return {tag: value for tag, value in self.tags.items() if tag not in left_out} | {
            Tag.BITS_PER_SAMPLE: shorts(*[self.depth] * bands),
            Tag.COMPRESSION: short(_NONE),
            Tag.SAMPLE_FORMAT: shorts(*[FLOATS if self.depth == 32 else _UNSIGNED] * bands),
            Tag.PHOTOMETRIC: short(MINISBLACK if is_grey else RGB),
            Tag.SAMPLES_PER_PIXEL: short(bands),
            Tag.ROWS_PER_STRIP: long(rows),
            Tag.STRIP_OFFSETS: long8(*(len(_HEAD) + top * row_bytes for top in tops)),
            Tag.STRIP_BYTE_COUNTS: (
                long8(1) if is_header else long8(*(min(rows, place.height - top) * row_bytes for top in tops))
            ),
        }


def _rows(file: BinaryIO, packed: _Packed) -> Iterator[Samples]:
    """The pixels from top to bottom, as many rows at once as a strip or tile has."""
    page, place = packed.page, packed.page.place
    pieces = read_pieces(file, page)
    places = list(zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True))[: place.pieces]
    at_once = max(1, _SAMPLES_AT_ONCE // (place.piece_width * page.samples))  # rows
    most_bytes = _most_packed(page.piece_bytes)
    for down in range(place.down):
        height = min(place.piece_height, place.height - down * place.piece_height)
        packed_rows = place.piece_height if place.is_tiled else height
        pixels = np.empty((height, place.width, page.samples), _KINDS[packed.depth])
        for across in range(place.across):
            number = down * place.across + across
            # One place, or one for each channel if the channels lie apart.
            of_channels = places[number :: place.across * place.down]
            read = (_read(file, *one, most_bytes) for one in of_channels)
            samples = np.concatenate([_samples(packed, data, packed_rows, number) for data in read], axis=2)
            left = across * place.piece_width
            width = min(place.piece_width, place.width - left)
            for top in range(0, height, at_once):
                block = samples[top : min(height, top + at_once), :width]
                pixels[top : top + at_once, left : left + width] = _converted(packed, block)
        yield pixels


def _read(file: BinaryIO, start: float, length: float, most_bytes: int) -> bytes:
    file.seek(int(start))
    return file.read(min(int(length), most_bytes))


def _samples(packed: _Packed, data: bytes, rows: int, number: int) -> Samples:
    """A strip's or tile's samples as they are meant (rows, piece width, channels), not yet scaled or converted."""
    page, width = packed.page, packed.page.place.piece_width
    channels = 1 if page.is_planar else page.samples
    across, down = packed.subsampling
    groups = (-(-width // across), -(-rows // down))
    of_groups = groups[0] * groups[1] * (across * down + 2)  # bytes
    expected = of_groups if page.photometric == YCBCR else page.place.row_bytes * rows
    if packed.is_from_low_bit:
        data = bytes(imagecodecs.bitorder_decode(data))
    # The last strip may be packed with as many rows as the others, or be padded.
    unpacked = _unpacked(page.compression, data, _MOST_TIMES * expected + _PADDING_BYTES)
    if len(unpacked) < expected:
        raise FormatError(f"strip or tile {number:,} has {len(unpacked):,} bytes of pixels; expected {expected:,}")
    if page.photometric == YCBCR:
        return _upsampled(np.frombuffer(unpacked, np.uint8, expected), groups, packed.subsampling)[:rows, :width]
    shape = (rows, width, channels)
    samples: Samples
    if page.bits == 8:
        samples = np.frombuffer(unpacked, np.uint8, expected).reshape(shape)
    elif page.bits == 16:
        samples = np.frombuffer(unpacked, packed.order + "u2", expected // 2).astype(np.uint16).reshape(shape)
    elif page.bits == _DOUBLE:
        doubles = np.frombuffer(unpacked, packed.order + "f8", expected // 8).clip(-_HUGE, _HUGE)
        with np.errstate(invalid="ignore"):  # what is no number is refused later
            samples = doubles.astype(np.float32).reshape(shape)
    else:
        kind = np.uint8 if page.bits < 8 else np.uint16
        samples = imagecodecs.packints_decode(unpacked[:expected], kind, page.bits, runlen=width * channels)
        samples = samples[: rows * width * channels].reshape(shape)
    if packed.predictor == _HORIZONTAL:
        samples = np.cumsum(samples, axis=1, dtype=samples.dtype)
    return samples


def _upsampled(data: NDArray[np.uint8], groups: tuple[int, int], subsampling: tuple[int, int]) -> NDArray[np.uint8]:
    """Groups of pixels that share Cb and Cr (TIFF 6.0, section 21) -> (rows, columns, 3), each pixel with its own."""
    (columns, rows), (across, down) = groups, subsampling
    units = data.reshape(rows, columns, across * down + 2)
    lightness = units[..., :-2].reshape(rows, columns, down, across).transpose(0, 2, 1, 3)
    colours = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    return np.dstack([lightness.reshape(rows * down, columns * across), colours])


def _converted(packed: _Packed, samples: Samples) -> Samples:
    """Samples (rows, columns, samples) -> grey or RGB of all levels of 8 or 16 bits, or floats, of the same shape."""
    page, full, kind = packed.page, (1 << packed.depth) - 1, _KINDS[packed.depth]
    if page.bits == _DOUBLE:
        return samples
    if page.photometric == YCBCR:
        return _rgb_of_ycbcr(samples, packed.tags)
    whole = (1 << page.bits) - 1
    levels = ((np.arange(whole + 1, dtype=np.uint64) * full + whole // 2) // whole).astype(kind)
    scaled: Samples = levels[samples]
    if page.photometric == MINISWHITE:
        scaled[..., 0] = full - scaled[..., 0]
    if page.photometric in LABS:
        rgb = _rgb_of_lab(samples, page.photometric, page.bits)
        scaled[..., :3] = np.rint(linear_to_srgb(rgb) * full)
    return scaled


def _rgb_of_lab(samples: Samples, photometric: int, bits: int) -> NDArray[np.float32]:
    """CIE Lab, or ICC's, of 8 or 16 bits -> linear R, G, B (rows, columns, 3), 0..1, of the same L*."""
    white = 0xFF00 if (photometric, bits) == (_ICC_LAB, 16) else (1 << bits) - 1
    lightness = samples[..., 0].astype(np.float32) * np.float32(100 / white)
    if photometric == _ICC_LAB:
        a, b = (samples[..., band].astype(np.float32) / (1 << (bits - 8)) - 128 for band in (1, 2))
    else:
        a, b = (samples[..., band].astype(f"i{bits // 8}") / np.float32(1 << (bits - 8)) for band in (1, 2))
    rgb = lab_to_linear_in_gamut(np.clip(lightness, 0, 100), a.astype(np.float32), b.astype(np.float32))
    return np.moveaxis(rgb, 0, -1)


def _rgb_of_ycbcr(samples: Samples, tags: Tags) -> Samples:
    """Y, Cb, Cr (rows, columns, 3) of 8 bits -> R, G, B. TIFF 6.0, sections 20 and 21."""
    red, green, blue = _fractions(tags, Tag.YCBCR_COEFFICIENTS, (0.299, 0.587, 0.114))
    black_white = _fractions(tags, Tag.REFERENCE_BLACK_WHITE, (0, 255, 128, 255, 128, 255))
    blacks, whites = np.array(black_white[::2], np.float32), np.array(black_white[1::2], np.float32)
    if green <= 0 or not (whites > blacks).all():
        raise FormatError("its coefficients of YCbCr can't be right")
    full = np.array([255, 127, 127], np.float32)
    y, cb, cr = np.moveaxis((samples - blacks) * (full / (whites - blacks)), -1, 0)
    r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
    g = (y - red * r - blue * b) / green
    rgb: Samples = np.rint(np.stack([r, g, b], axis=-1)).clip(0, 255).astype(np.uint8)
    return rgb


def _fractions(tags: Tags, tag: Tag, default: tuple[float, ...]) -> tuple[float, ...]:
    numbers = tags[tag].numbers() if tag in tags else []
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    if len(pairs) != len(default) or not all(below for _, below in pairs):
        return default
    return tuple(above / below for above, below in pairs)


def _unpacked(compression: int, data: bytes, limit: int) -> bytes:
    """At most so many bytes of pixels. Raises FormatError if they can't be unpacked."""
    try:
        return _UNPACKERS[compression](data, limit)
    except (ValueError, RuntimeError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise FormatError(f"its pixels can't be unpacked: {error}") from None


def _inflate(data: bytes, limit: int) -> bytes:
    return zlib.decompressobj().decompress(data, limit)


def _unpack_lzma(data: bytes, limit: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_LZMA_BYTES).decompress(data, limit)


# By compression; each gives at most so many bytes.
_UNPACKERS: dict[int, Callable[[bytes, int], bytes]] = {
    _NONE: lambda data, limit: data[:limit],
    _LZW: lambda data, limit: bytes(imagecodecs.lzw_decode(data, out=limit)),
    _PACKBITS: lambda data, limit: bytes(imagecodecs.packbits_decode(data, out=limit)),
    **dict.fromkeys(DEFLATES, _inflate),
    _LZMA: _unpack_lzma,
    _ZSTD: lambda data, limit: bytes(imagecodecs.zstd_decode(data, out=limit)),
}
