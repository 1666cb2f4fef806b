"""Makes ICC profiles for files that describe their colours in another way.

ICC.1:2022: header 7.2, parametricCurveType 10.18, matrix model F.3, Bradford's adaptation E.
"""

import struct

import numpy as np
from numpy.typing import NDArray

D65 = np.array([0.3127, 0.3290])
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Places = NDArray[np.float64]  # rows of x, y


def primaries_of(places: Places, white: Places) -> NDArray[np.float64]:
    """X, Y, Z (rows) of red, green, blue (columns), adapted to the white D50, which they add up to."""
    shares = np.column_stack([places, 1 - places.sum(axis=1)]).T  # (3, 3): x, y, z of each primary
    white_xyz = np.array([white[0], white[1], 1 - white.sum()]) / white[1]
    matrix = shares * np.linalg.solve(shares, white_xyz)
    gain = (_BRADFORD @ _D50) / (_BRADFORD @ white_xyz)
    adapted: NDArray[np.float64] = np.linalg.solve(_BRADFORD, gain[:, None] * (_BRADFORD @ matrix))
    return adapted


def grey_profile(power: float) -> bytes:
    """The profile of greys whose linear light is their level (0..1) to this power."""
    return _profile(b"GRAY", {b"kTRC": _curve(power)})


def rgb_profile(power: float, primaries: NDArray[np.float64]) -> bytes:
    """The profile of R, G, B with the same power for each; `primaries` as `primaries_of` gives them."""
    letters = (b"r", b"g", b"b")
    tags = {letter + b"XYZ": _xyz(column) for letter, column in zip(letters, primaries.T, strict=True)}
    return _profile(b"RGB ", tags | {letter + b"TRC": _curve(power) for letter in letters})


def _curve(power: float) -> bytes:
    return b"para\0\0\0\0\0\0\0\0" + _fixed(power)


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
    """Numbers in ICC's form: 16 bits before the point and 16 after it."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
