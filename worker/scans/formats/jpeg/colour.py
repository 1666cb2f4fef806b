"""Reads the colour space that EXIF names in a JPEG without a profile. Cameras and scanning backs name Adobe RGB there.

DCF 2.0 (CIPA DC-009), "optional color space": ColorSpace is uncalibrated, and the interoperability index is R03. Adobe
RGB (1998) Color Image Encoding, 4.3.
"""

import io

import numpy as np
import pyvips

from worker.colour.icc_writer import D65, primaries_of, rgb_profile
from worker.scans.formats.errors import FormatError
from worker.scans.formats.jpeg.segments import EXIF
from worker.scans.formats.tiff.exif import read_exif
from worker.scans.formats.tiff.tags import Tag

_UNCALIBRATED, _ADOBE_RGB = 0xFFFF, b"R03"
_PLACES = np.array([[0.64, 0.33], [0.21, 0.71], [0.15, 0.06]])  # x, y of red, green, blue
_POWER = 2 + 51 / 256


def profile_of_exif(image: pyvips.Image) -> bytes | None:
    """An ICC profile of Adobe RGB for an image whose EXIF says so; None for sRGB, and for CMYK."""
    if not image.get_typeof("exif-data") or image.interpretation not in ("b-w", "srgb"):
        return None
    try:
        exif = read_exif(io.BytesIO(image.get("exif-data").removeprefix(EXIF)))
    except FormatError:
        return None
    space, index = exif.exif.get(Tag.COLOR_SPACE), exif.interoperability.get(Tag.INTEROPERABILITY_INDEX)
    if space is None or index is None or space.number() != _UNCALIBRATED or not index.data.startswith(_ADOBE_RGB):
        return None
    return rgb_profile(_POWER, primaries_of(_PLACES, D65))
