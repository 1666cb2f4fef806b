"""What a PNG says of its lightness and libvips does not read, as an ICC profile that says the same.

PNG 3rd edition, 4.3 (which chunk counts), 11.3.2 (cHRM, gAMA, sRGB, cICP) and 13.13, 13.14 (what they mean); libvips
reads none of them. ICC.1:2022: header 7.2, parametricCurveType 10.18, matrix model F.3, Bradford's adaptation E.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.scans.png_chunks import profile_of, read_colour_chunks

_UNIT = 100_000  # of gAMA and cHRM
_GAMMAS = range(10_000, 1_000_000)  # others are damage
_SRGBS = range(45_000, 46_001)  # gAMA of sRGB is 45 455, a power that stands for its curve
_SRGB_PLACES = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])  # x, y of red, green, blue
_D65 = np.array([0.3127, 0.3290])
_NEAR = 0.01  # of x and y
_BRIGHTEST = 4.0  # no primary's X, Y or Z is so large beside white's 1
_CICP_SRGB = bytes((1, 13, 0, 1))
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Places = NDArray[np.float64]  # rows of x, y


class UnknownColour(ValueError):
    """The PNG is of a kind of colour, in words, that is not known here: light of a display with a high range."""


def profile_of_png(path: Path, bands: int) -> bytes | None:
    """An ICC profile for 1 band of grey or 3 of RGB; None for sRGB. The file's own may be damaged, or another device's:
    libpng passes over such a one without a word. Raises UnknownColour.
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
    primaries = _primaries_of(chunks.get(b"cHRM", b"")) if bands == 3 else None
    if gamma not in _GAMMAS or (gamma in _SRGBS and primaries is None):
        return None
    curve = b"para\0\0\0\0\0\0\0\0" + _fixed(_UNIT / gamma)
    if bands == 1:
        return _profile(b"GRAY", {b"kTRC": curve})
    if primaries is None:
        primaries = _primaries(_SRGB_PLACES, _D65)
    tags = {letter + b"XYZ": _xyz(column) for letter, column in zip((b"r", b"g", b"b"), primaries.T, strict=True)}
    return _profile(b"RGB ", tags | {letter + b"TRC": curve for letter in (b"r", b"g", b"b")})


def _primaries_of(content: bytes) -> NDArray[np.float64] | None:
    """What cHRM says, as `_primaries`; None where that is sRGB's, or no display's."""
    if len(content) != 32:
        return None
    white, *primaries = np.array(struct.unpack(">8I", content)).reshape(4, 2) / _UNIT
    places = np.array(primaries)
    if np.abs(np.vstack([places - _SRGB_PLACES, white - _D65])).max() < _NEAR or not white[1]:
        return None
    try:
        matrix = _primaries(places, white)
    except np.linalg.LinAlgError:
        return None
    return matrix if (matrix[1] > 0).all() and np.abs(matrix).max() < _BRIGHTEST else None


def _primaries(places: Places, white: Places) -> NDArray[np.float64]:
    """X, Y, Z (rows) of red, green, blue (columns) that add up to the white D50, to which eyes are adapted."""
    shares = np.column_stack([places, 1 - places.sum(axis=1)]).T  # (3, 3): x, y, z of each primary
    white_xyz = np.array([white[0], white[1], 1 - white.sum()]) / white[1]
    matrix = shares * np.linalg.solve(shares, white_xyz)
    gain = (_BRADFORD @ _D50) / (_BRADFORD @ white_xyz)
    adapted: NDArray[np.float64] = np.linalg.solve(_BRADFORD, gain[:, None] * (_BRADFORD @ matrix))
    return adapted


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = tags | {b"wtpt": _xyz(_D50)}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4s4s4s4s4s", start + len(body), b"", b"\4\x20\0\0", b"scnr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + _fixed(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _fixed(*values: float) -> bytes:
    """ICC's numbers: 16 bits before the point, 16 behind it."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
