"""Reads files with libraries that Photochrom does not use for reading, to find pixels that were lost
without a message.
"""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from worker.colour.lab import luminance_to_lightness, srgb_to_linear

_SIDE = 48
_MOST_OFF = 6.0  # L*, mean over a small copy: other profiles and decoders cause less, lost pixels more
_PLACE = 6  # pixels of the small copy, in each direction
_MOST_OFF_IN_PLACE = 25.0  # L*, mean over one place; a hole is off by 50 and more
# What Pillow and its libraries say of lost pixels. Other errors are about what Pillow can't read.
_LOST = re.compile(
    "truncated|broken data stream|unexpected end|premature|checksum in b.IDAT|opj_decode|opj_end", re.IGNORECASE
)
_KNOWN = ("L", "RGB", "RGBA", "LA", "P", "1", "I;16", "I;16B", "I;16L")
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])["<]')
_UNKNOWN_MARKER = re.compile(rb"\xff[\x02-\xbf\xf0-\xfd]")  # among the samples of a JPEG; none of its own is one
_BITS_PER_SAMPLE, _STRIP_OFFSETS, _SAMPLES_PER_PIXEL = 258, 273, 277
_PLANAR = 2
_WHITE_IS_ZERO = 0

Lightness = NDArray[np.float64]


def silent_damage(source: Path, output: Path) -> str | None:
    """A sentence if an output's lightness is far from what each of the other readers reads of its source, as a whole or
    in one place, or if another reader says that pixels of the source are lost. None if it is near to what one of them
    reads, or if none can tell.
    """
    lightness, others = _quietly(lambda: _of_output(output)), expected_lightness(source)
    if lightness is None or not others:
        lost = words_of_loss(source)
        return f"is done, though another reader says: {lost}" if lost else None
    offs = [np.abs(expected - lightness) for expected in others]
    off = min(float(each.mean()) for each in offs)
    if off > _MOST_OFF:
        return f"is off by {off:.0f} L* of what other readers read"
    place = min(_off_in_one_place(each) for each in offs)
    return f"is off by {place:.0f} L* in one place of what other readers read" if place > _MOST_OFF_IN_PLACE else None


def _off_in_one_place(off: Lightness) -> float:
    """The largest mean difference, L*, of a place of 6 by 6 pixels of the small copy: 1.6 % of the picture."""
    cells = off.reshape(_SIDE // _PLACE, _PLACE, _SIDE // _PLACE, _PLACE)
    return float(cells.mean(axis=(1, 3)).max())


def words_of_loss(source: Path) -> str | None:
    """What another reader says of pixels of the file that are lost; None if it reads all, or says something else.

    A reader that does not know a kind of file says nothing about its pixels. OpenJPEG itself is asked about JPEG 2000,
    because Pillow gives the same message if the header alone is refused.
    """
    try:
        data = source.read_bytes()
        with warnings.catch_warnings(action="ignore"), Image.open(source) as image:
            if image.format == "JPEG2000":
                imagecodecs.jpeg2k_decode(data)
            elif image.format == "JPEG" and (marker := _UNKNOWN_MARKER.search(data, data.find(b"\xff\xda") + 2)):
                return None if _is_whole_before(data, marker.start()) else "samples are missing before a marker"
            elif not _holds_all_pixels(image, len(data)):
                image.load()
    except Exception as error:
        words = " ".join(str(error).split())
        return words if _LOST.search(words) else None
    return None


def _holds_all_pixels(image: Image.Image, size: int) -> bool:
    """Whether a file of `size` bytes is an uncompressed TIFF with room for all pixels behind its first strip.

    Pillow calls such a file truncated if its number of rows in a strip, or of bytes in one, is wrong.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.info.get("compression") != "raw" or not tags.get(_STRIP_OFFSETS):
        return False
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    row_bytes = -(-image.width * tags.get(_SAMPLES_PER_PIXEL, 1) * max(bits) // 8)
    return bool(min(tags[_STRIP_OFFSETS]) + image.height * row_bytes <= size)


def _is_whole_before(data: bytes, end: int) -> bool:
    """Whether all samples of a JPEG are before `end`: then what follows changes no pixel."""
    fillings = (b"", b"\x55" * 4096)
    images = [Image.open(io.BytesIO(data[:end] + filling + b"\xff\xd9")) for filling in fillings]
    return np.array_equal(*map(np.asarray, images))


def _of_output(path: Path) -> Lightness | None:
    """L* of a small copy. OpenJPEG reads JPEG 2000, because in Pillow values beyond 16 bits start at 0 again."""
    if path.suffix != ".jp2":
        return _by_pillow(path)
    pixels = imagecodecs.jpeg2k_decode(path.read_bytes())
    values = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    return _small_lightness(values.astype(np.float64) / np.iinfo(pixels.dtype).max)


def expected_lightness(source: Path) -> list[Lightness]:
    """L* of a small copy, by each reader that reads the whole file."""
    return [seen for reader in (lightness_of, _by_tifffile) if (seen := reader(source)) is not None]


def lightness_of(path: Path) -> Lightness | None:
    """L* of a small copy, upright, (48, 48), by Pillow; None for files that it can't read completely or reads
    differently.
    """
    return _quietly(lambda: _by_pillow(path))


def _quietly(read: Callable[[], Lightness | None]) -> Lightness | None:
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):
            return read()
    except Exception:
        return None


def _by_pillow(path: Path) -> Lightness | None:
    with Image.open(path) as image:
        if image.mode not in _KNOWN or image.info.get("icc_profile") or getattr(image, "n_frames", 1) > 1:
            return None
        tags = getattr(image, "tag_v2", {})
        if 16 in tags.get(258, ()) and (tags.get(284) == _PLANAR or 338 in tags):
            return None  # Pillow misreads 16-bit channels that are stored separately, or more than the colours
        upright = ImageOps.exif_transpose(image) or image
        if image.format == "JPEG2000" and (said := _XMP_ORIENTATION.search(path.read_bytes())):
            upright = _turned(image, int(said[1]))
        if upright.mode.startswith("I;16"):
            return _small_lightness(np.asarray(upright, np.float64)[..., None] / 65535)
        return _small_lightness(np.asarray(upright.convert("RGB"), np.float64) / 255)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image, turned as EXIF's number says."""
    way = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return image if way is None else image.transpose(way)


def _by_tifffile(path: Path) -> Lightness | None:
    """L* of a small copy, by tifffile, of a TIFF of one page, grey or RGB; None for other files."""
    return _quietly(lambda: _of_tiff(path))


def _of_tiff(path: Path) -> Lightness | None:
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if len(file.pages) > 1 or not isinstance(page, tifffile.TiffPage) or 34675 in page.tags:
            return None
        layout = page.tags.get(284)
        if layout is not None and layout.value not in (1, _PLANAR):
            return None  # tifffile takes any other number for separate channels
        if page.photometric not in (0, 1, 2) or 274 in page.tags or 338 in page.tags:  # turned, or with alpha
            return None
        if not _tells_its_bytes(page):
            return None  # tifffile reads strips and tiles whose size is unknown as black
        pixels = page.asarray()
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3):
        return None
    values = pixels.astype(np.float64) / ((1 << page.bitspersample) - 1)  # 12 bits in uint16, for example
    if values.ndim == 2:
        values = values[..., None]
    elif page.planarconfig == _PLANAR:
        values = np.moveaxis(values, 0, -1)
    if page.photometric == _WHITE_IS_ZERO:
        values = 1 - values
    colours = 1 if page.photometric < 2 else 3
    return _small_lightness(values[..., :colours])


def _tells_its_bytes(page: tifffile.TiffPage) -> bool:
    """Whether the file says where each strip or tile lies and how many bytes it has."""
    places = [page.tags.get(code) for code in ((324, 325) if page.is_tiled else (273, 279))]
    return None not in places and len({tag.count for tag in places if tag is not None}) == 1


def _small_lightness(values: NDArray[np.float64]) -> Lightness:
    """L* of a small copy of samples 0..1, (height, width, 1 or 3).

    Each sample counts by its area. Pillow's box filter takes whole samples or none, so two copies of the same noise
    would differ.
    """
    rgb = np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values
    return _lightness(cv2.resize(np.ascontiguousarray(rgb), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))


def _lightness(rgb: NDArray[np.floating]) -> Lightness:  # type: ignore[type-arg]
    return np.asarray(luminance_to_lightness(srgb_to_linear(rgb) @ _LUMINANCE))
