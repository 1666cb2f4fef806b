"""JPEG 2000 files that no installed library writes: with components of different sizes, or with palettes."""

import struct
from collections.abc import Sequence
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from worker.scans.formats.jp2 import boxes

_RESOLUTIONS = 3


def codestream_of(components: Sequence[NDArray[Any]], steps: Sequence[tuple[int, int]]) -> bytes:
    """One tile of 8-bit components of different sizes; its packets are in the order of components (T.800, B.12.1.5)."""
    streams = [_taken_apart(component) for component in components]
    height, width = components[0].shape
    siz = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, len(components))
    siz += b"".join(struct.pack(">BBB", 7, across, down) for across, down in steps)
    cod, qcd, _ = streams[0]
    cod = cod[:5] + bytes([4]) + cod[6:8] + b"\0" + cod[9:]  # CPRL; components not mixed
    data = b"".join(packets for _, _, packets in streams)
    part = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 14 + len(data), 0, 1) + b"\xff\x93" + data
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(siz) + 2) + siz + cod + qcd + part + b"\xff\xd9"


def _taken_apart(component: NDArray[Any]) -> tuple[bytes, bytes, bytes]:
    """The segments COD and QCD and the packets of a codestream that holds only this component."""
    data = bytes(
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(component), codecformat="j2k", reversible=True, resolutions=_RESOLUTIONS
        )
    )
    found, at = {}, 2
    while data[at : at + 2] != b"\xff\x90":
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found[data[at + 1]] = data[at : at + length]
        at += length
    packets = data[data.index(b"\xff\x93", at) + 2 : -2]
    return found[0x52], found[0x5C], packets


def jp2_of(codestream: bytes, shape: tuple[int, int, int], colour_space: int, more: bytes = b"") -> bytes:
    """A file with a codestream; `shape` is height, width and components, and `more` are further boxes of the header."""
    height, width, count = shape
    head = boxes.box(b"ihdr", struct.pack(">IIHBBBB", height, width, count, 7, 7, 0, 0))
    head += boxes.box(b"colr", struct.pack(">BBBI", 1, 0, 0, colour_space)) + more
    return (
        boxes.SIGNATURE
        + boxes.box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + boxes.box(b"jp2h", head)
        + boxes.box(b"jp2c", codestream)
    )


def palette_boxes(palette: NDArray[np.uint8]) -> bytes:
    """The boxes pclr and cmap of a palette (entries, channels) of 8 bits."""
    entries, channels = palette.shape
    pclr = struct.pack(">HB", entries, channels) + bytes([7] * channels) + palette.tobytes()
    cmap = b"".join(struct.pack(">HBB", 0, 1, channel) for channel in range(channels))
    return boxes.box(b"pclr", pclr) + boxes.box(b"cmap", cmap)
