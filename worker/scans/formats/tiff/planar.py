"""TIFFs with separate channels that libvips can't read: each channel is read like a separate page."""

import struct
from pathlib import Path

import pyvips

from worker.colour.icc_reader import PROFILE_FIELD
from worker.scans.formats.errors import UnsupportedKind
from worker.scans.formats.tiff.layout import ASSOCIATED_ALPHA, CMYK, MINISBLACK, MINISWHITE, RGB, TiffPage
from worker.scans.formats.tiff.page_view import load_directory, pixel_tags
from worker.scans.formats.tiff.pieces import Place
from worker.scans.formats.tiff.tags import Tag, Tags, TagsError, long8, short
from worker.scans.vips import FULL

# Tags that belong only to the whole page.
_OF_PAGE = {Tag.EXTRA_SAMPLES, Tag.ICC_PROFILE, Tag.INK_SET, Tag.COLOR_MAP}
_MAX_CHANNELS = 5
_KINDS = {(RGB, 8): "srgb", (RGB, 16): "rgb16", (RGB, 32): "srgb", (CMYK, 8): "cmyk", (CMYK, 16): "cmyk"}


def load_planes(path: Path, page: TiffPage, fail_on: str) -> pyvips.Image:
    """The page as an image, with its separate channels joined. Raises pyvips.Error, FormatError."""
    try:
        return _load_planes(path, page, fail_on)
    except (LookupError, struct.error) as error:
        raise TagsError(f"a tag is missing, or not what it should be: {error}") from None


def _load_planes(path: Path, page: TiffPage, fail_on: str) -> pyvips.Image:
    with path.open("rb") as file:
        tags = pixel_tags(file, page)
    count, photometric, depth = page.samples, page.photometric, page.bits
    is_grey = photometric in (MINISWHITE, MINISBLACK)
    interpretation = _KINDS.get((photometric, depth)) or (("b-w", "grey16")[depth == 16] if is_grey else None)
    if interpretation is None or not 1 < count <= _MAX_CHANNELS:
        raise UnsupportedKind(f"{count} channels of {depth} bits and kind {photometric} that lie apart")
    planes = [load_directory(path, _plane(tags, channel, page.place), fail_on) for channel in range(count)]
    image = _divided_by_alpha(planes[0].bandjoin(planes[1:]), page).copy(interpretation=interpretation)
    if Tag.ICC_PROFILE in tags and tags[Tag.ICC_PROFILE].data:
        image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, tags[Tag.ICC_PROFILE].data)
    return image


def _divided_by_alpha(image: pyvips.Image, page: TiffPage) -> pyvips.Image:
    """The image. If its colours are multiplied by its alpha, they are divided again."""
    extra = page.extra_samples
    if ASSOCIATED_ALPHA not in extra:
        return image
    place = image.bands - len(extra) + extra.index(ASSOCIATED_ALPHA)
    divided = image.unpremultiply(alpha_band=place, max_alpha=FULL[image.format])
    return divided if image.format == "float" else divided.rint().cast(image.format)


def _plane(tags: Tags, channel: int, place: Place) -> Tags:
    """The directory of one channel.

    The picture's size gives the number of strips or tiles of a channel. No channel uses the last entries of a longer
    list.
    """
    pieces = place.across * place.down
    plane = {tag: value for tag, value in tags.items() if tag not in _OF_PAGE}
    inverted = channel == 0 and tags[Tag.PHOTOMETRIC].number() == MINISWHITE
    plane |= {
        Tag.PHOTOMETRIC: short(MINISWHITE if inverted else MINISBLACK),
        Tag.SAMPLES_PER_PIXEL: short(1),
        Tag.PLANAR_CONFIG: short(1),
    }
    for tag in (Tag.BITS_PER_SAMPLE, Tag.SAMPLE_FORMAT):
        if tag in tags:
            plane[tag] = short(tags[tag].numbers()[channel if tags[tag].count > channel else 0])
    for tag in (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS, Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS):
        if tag in tags:
            plane[tag] = long8(*tags[tag].numbers()[channel * pieces :][:pieces])
    return plane
