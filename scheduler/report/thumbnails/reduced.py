"""Small copies and 8-bit sRGB of pictures of any kind that a worker reads."""

import pyvips

from worker.scans import ScanFile
from worker.scans.reading.grey import in_16_bits
from worker.scans.reading.loading import load
from worker.scans.vips import FULL, WIDE

_SHRUNK_BY_DECODER = ("jpeg", "png", "webp")


def reduced(file: ScanFile, side_px: int) -> pyvips.Image:
    """The first page, upright, with at most `side_px` on its longer side, which may be of any kind of samples.

    A JPEG or WebP is decoded at a smaller size. Call it within `worker.scans.reading.loading.reading`.
    """
    size = {"height": side_px, "size": "down"}
    if file.format in _SHRUNK_BY_DECODER:
        return pyvips.Image.thumbnail(str(file.path), side_px, **size)
    return _at_most_16_bits(load(file)).thumbnail_image(side_px, **size)


def flat(image: pyvips.Image) -> pyvips.Image:
    """The picture in 8-bit sRGB or grey on white, converted with its ICC profile if this can be used."""
    image = _at_most_16_bits(image)
    if image.hasalpha():
        image = image.flatten(background=[FULL[image.format]])
    if image.bands > 2 and image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    return image.colourspace("srgb" if image.bands > 2 else "b-w").cast("uchar")


def _at_most_16_bits(image: pyvips.Image) -> pyvips.Image:
    return in_16_bits(image) if image.format in WIDE else image
