"""TIFFs whose channels lie apart, where libvips has no reader for that, as one page for each channel.

A copy of the file gets directories at its end that speak of one channel each: no pixel is decoded, none moved.
"""

import shutil
import struct
from pathlib import Path

import pyvips

from worker.colour.icc_reader import PROFILE_FIELD
from worker.scans.formats.tiff.ifd_reader import read_exif
from worker.scans.formats.tiff.ifd_writer import replace_pages
from worker.scans.formats.tiff.layout import ASSOCIATED_ALPHA
from worker.scans.formats.tiff.tags import Tags, TagsError, Value, long8, short

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT = 258, 262, 277, 284, 339
_TILES, _STRIPS = (324, 325), (273, 279)  # offsets, bytes
_EXTRA = 338
_FULL = {"uchar": 255, "ushort": 65535, "float": 1}
# What each channel shares with the others.
_KEPT = {254, 256, 257, 259, 266, 274, 278, 282, 283, 296, 317, 322, 323, 347}
_PROFILE_TAG, _NO_PROFILE = 34675, Value(7, b"")
_RGB, _CMYK, _GREYS = 2, 5, (0, 1)
_MOST_CHANNELS = 5
_KINDS = {(_RGB, 8): "srgb", (_RGB, 16): "rgb16", (_RGB, 32): "srgb", (_CMYK, 8): "cmyk", (_CMYK, 16): "cmyk"}


def load_planes(path: Path, page: int) -> pyvips.Image:
    """The page with its channels side by side; raises pyvips.Error, TagsError."""
    try:
        return _load_planes(path, page)
    except (LookupError, struct.error) as error:
        raise TagsError(f"a tag is missing, or not what it should be: {error}") from None


def _load_planes(path: Path, page: int) -> pyvips.Image:
    with path.open("rb") as file:
        main = read_exif(file, page).main
    count, photometric = main[_SAMPLES].number(), main[_PHOTOMETRIC].number()
    depth = main[_BITS].number() if _BITS in main else 1
    kind = _KINDS.get((photometric, depth)) or (("b-w", "grey16")[depth == 16] if photometric in _GREYS else None)
    if kind is None or not 1 < count <= _MOST_CHANNELS:
        raise pyvips.Error(f"unsupported: {count} channels of {depth} bits and kind {photometric} that lie apart")
    # See tiff_kinds.fail_on; a channel alone in JPEG is as rare as JPEG's odd bytes.
    options = {"access": "sequential", "fail_on": "warning"}
    copy = str(_page_for_each_channel(path, page, main, count))
    loaded = [pyvips.Image.tiffload(copy, page=channel, **options) for channel in range(count)]
    image = _divided_by_alpha(loaded[0].bandjoin(loaded[1:]), main).copy(interpretation=kind)
    if profile := main.get(_PROFILE_TAG, _NO_PROFILE).data:
        image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, profile)
    return image


def _divided_by_alpha(image: pyvips.Image, main: Tags) -> pyvips.Image:
    """The image with its own colours, where they are multiplied by its alpha."""
    extra = main[_EXTRA].numbers() if _EXTRA in main else []
    if ASSOCIATED_ALPHA not in extra:
        return image
    place = image.bands - len(extra) + extra.index(ASSOCIATED_ALPHA)
    divided = image.unpremultiply(alpha_band=place, max_alpha=_FULL[image.format])
    return divided if image.format == "float" else divided.rint().cast(image.format)


def _page_for_each_channel(path: Path, page: int, main: Tags, count: int) -> Path:
    """The copy beside the scan, made at the first call."""
    target = path.with_name(f"{path.name}.{page}.planes")
    if not target.exists():
        part = target.with_name(target.name + ".part")
        shutil.copyfile(path, part)
        replace_pages(part, [_plane(main, channel, count) for channel in range(count)])
        part.replace(target)
    return target


def _plane(main: Tags, channel: int, count: int) -> Tags:
    """The directory of one channel."""
    plane = {tag: value for tag, value in main.items() if tag in _KEPT}
    inverted = channel == 0 and main[_PHOTOMETRIC].number() == 0
    plane |= {_PHOTOMETRIC: short(0 if inverted else 1), _SAMPLES: short(1), _PLANAR: short(1)}
    for tag in (_BITS, _FORMAT):
        if tag in main:
            plane[tag] = short(main[tag].numbers()[channel if main[tag].count > channel else 0])
    for tag in _TILES if _TILES[0] in main else _STRIPS:
        numbers = main[tag].numbers()
        pieces = len(numbers) // count
        plane[tag] = long8(*numbers[channel * pieces :][:pieces])
    return plane
