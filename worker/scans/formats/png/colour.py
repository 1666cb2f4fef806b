"""Makes an ICC profile from the chunks about colour that libvips does not read in a PNG.

PNG 3rd edition, 4.3 (which chunk counts), 11.3.2 (cHRM, gAMA, sRGB, cICP) and 13.13, 13.14 (what they mean); libvips
reads none of them.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.colour.icc_writer import D65, grey_profile, primaries_of, rgb_profile
from worker.scans.formats.png.chunks import profile_of, read_colour_chunks

_UNIT = 100_000  # gAMA and cHRM hold whole numbers of 1 / 100 000
_GAMMAS = range(10_000, 1_000_000)  # others are damage
_SRGBS = range(45_000, 46_001)  # sRGB files have 45 455, a power close to sRGB's curve
_SRGB_PLACES = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])  # x, y of red, green, blue
_NEAR = 0.01  # of x and y
_BRIGHTEST = 4.0  # if white has 1, no primary has such a large X, Y or Z
_CICP_SRGB = bytes((1, 13, 0, 1))


class UnknownColour(ValueError):
    """The PNG has an unsupported kind of colour, such as that of displays with high dynamic range."""


def profile_of_png(path: Path, bands: int) -> bytes | None:
    """An ICC profile for 1 band of grey or 3 bands of RGB; None for sRGB. Raises UnknownColour.

    The profile in the file may be damaged or that of another device. libpng ignores such a profile without a warning.
    """
    chunks = read_colour_chunks(path)
    if b"cICP" in chunks:
        if chunks[b"cICP"] != _CICP_SRGB:
            raise UnknownColour(f"unsupported: cICP {chunks[b'cICP'].hex(' ')}")
        return None
    if b"iCCP" in chunks:
        return profile_of(chunks[b"iCCP"])
    if b"sRGB" in chunks or len(chunks.get(b"gAMA", b"")) != 4:
        return None
    (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
    primaries = _primaries_said(chunks.get(b"cHRM", b"")) if bands == 3 else None
    if gamma not in _GAMMAS or (gamma in _SRGBS and primaries is None):
        return None
    power = _UNIT / gamma
    if bands == 1:
        return grey_profile(power)
    return rgb_profile(power, primaries_of(_SRGB_PLACES, D65) if primaries is None else primaries)


def _primaries_said(content: bytes) -> NDArray[np.float64] | None:
    """The primaries of cHRM, as `primaries_of` returns them; None if they are sRGB's, or not possible."""
    if len(content) != 32:
        return None
    white, *primaries = np.array(struct.unpack(">8I", content)).reshape(4, 2) / _UNIT
    places = np.array(primaries)
    if np.abs(np.vstack([places - _SRGB_PLACES, white - D65])).max() < _NEAR or not white[1]:
        return None
    try:
        matrix = primaries_of(places, white)
    except np.linalg.LinAlgError:
        return None
    return matrix if (matrix[1] > 0).all() and np.abs(matrix).max() < _BRIGHTEST else None
