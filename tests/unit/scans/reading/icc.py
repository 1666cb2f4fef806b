"""Minimal ICC profiles, made by hand (ICC.1:2022): one gamma or curve, and for RGB any primaries.

Their header always says version 2.4, also with a parametric curve, which is from version 4: readers go by the tags.
"""

import struct

import numpy as np
from numpy.typing import ArrayLike, NDArray

D50 = (0.9642, 1.0, 0.8249)


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def sampled_curve(values: ArrayLike) -> bytes:
    samples: NDArray[np.float64] = np.asarray(values)
    return b"curv\0\0\0\0" + struct.pack(">I", samples.size) + np.rint(samples * 65535).astype(">u2").tobytes()


def parametric_curve(kind: int, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*numbers)


def grey_profile(curve: bytes) -> bytes:
    return _profile(b"GRAY", {b"kTRC": curve})


def rgb_profile(curve: bytes, primaries: ArrayLike) -> bytes:
    """`primaries`: (3, 3), rows X, Y, Z for the D50 connection space, columns R, G, B."""
    columns = np.asarray(primaries, np.float64).T
    tags = {letter + b"XYZ": _xyz(*column) for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)}
    return _profile(b"RGB ", tags | {letter + b"TRC": curve for letter in (b"r", b"g", b"b")})


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made by hand\0"
    tags = tags | {b"wtpt": _xyz(*D50), b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(82)}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(128)
    header[0:4], header[8:12] = struct.pack(">I", start + len(body)), b"\x02\x40\0\0"
    header[12:24] = b"scnr" + space + b"XYZ "
    header[24:36] = bytes.fromhex("07e800010001000000000000")
    header[36:40] = b"acsp"
    header[68:80] = _fixed(*D50)
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
