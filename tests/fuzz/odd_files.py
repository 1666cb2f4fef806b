"""Oddities and damage that real files have, put into sound files: pointers, counts, holes, orientations."""

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, PngImagePlugin

from worker.scans.formats.jp2 import boxes

Change = Callable[[bytes, np.random.Generator], bytes]

_END_OF_JPEG = b"\xff\xd9"
_XMP_TAG = 700
# A picture of one bit that becomes RGBA can't keep its compression for fax.
_ALPHA_OPTIONS: dict[str, dict[str, object]] = {"WEBP": {"lossless": True}, "TIFF": {"compression": "raw"}}
_NUMBERS = (0, 1, 2, 4, 9, 255, 65_535, 9_000_000, 0x7FFFFFFF, 0xFFFFFFFF)
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def odd(extension: str, data: bytes, dice: np.random.Generator) -> bytes:
    """The file with one of the oddities that its format can have."""
    changes = _CHANGES.get(extension, [_tail])
    return changes[int(dice.integers(0, len(changes)))](data, dice)


def _entries(data: bytes) -> tuple[str, list[int], int]:
    """A classic TIFF's byte order, and where the first directory's entries and its pointer to the next one are."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 16 or struct.unpack_from(order + "H", data, 2)[0] != 42:
        return order, [], 0
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    return order, [at + 2 + 12 * number for number in range(count)], at + 2 + 12 * count


def _tiff_value(data: bytes, dice: np.random.Generator) -> bytes:
    """Change a tag's value, or its pointer to the value."""
    return _tiff_number(data, dice, 8)


def _tiff_count(data: bytes, dice: np.random.Generator) -> bytes:
    return _tiff_number(data, dice, 4)


def _tiff_number(data: bytes, dice: np.random.Generator, place: int) -> bytes:
    order, entries, _ = _entries(data)
    if not entries:
        return data
    at = entries[int(dice.integers(0, len(entries)))] + place
    return data[:at] + struct.pack(order + "I", int(dice.choice(_NUMBERS))) + data[at + 4 :]


def _tiff_next(data: bytes, dice: np.random.Generator) -> bytes:
    order, entries, link = _entries(data)
    if not entries:
        return data
    pointer = int(dice.choice([*_NUMBERS, len(data) // 2, len(data) - 3]))
    return data[:link] + struct.pack(order + "I", pointer) + data[link + 4 :]


def _hole(data: bytes, dice: np.random.Generator) -> bytes:
    """Remove bytes, or replace them by zeros or FF, and add an end marker at the end."""
    start = int(dice.integers(len(data) // 3, max(len(data) // 3 + 1, len(data) - 8)))
    length = int(dice.integers(64, 3000))
    fill = (b"", bytes(length), b"\xff" * length)[int(dice.integers(0, 3))]
    return data[:start] + fill + data[start + length :] + _END_OF_JPEG


def _zeros(data: bytes, dice: np.random.Generator) -> bytes:
    """Replace a sector by zeros, as in a broken copy."""
    start = int(dice.integers(len(data) // 3, len(data)))
    return data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :]


def _second_picture(data: bytes, dice: np.random.Generator) -> bytes:
    return data[: int(dice.integers(len(data) // 3, len(data)))] + data


def _tail(data: bytes, dice: np.random.Generator) -> bytes:
    return data + bytes(int(dice.integers(1, 6000)))


def _alpha(data: bytes, dice: np.random.Generator) -> bytes:
    """The same picture with alpha that hides a part of it, in the same format."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            format, picture = image.format or "PNG", image.convert("RGBA")
    except (OSError, ValueError):
        return data
    alpha = dice.integers(0, 256, (4, 4), np.uint8)
    picture.putalpha(Image.fromarray(alpha).resize(picture.size))
    file = io.BytesIO()
    picture.save(file, format, **_ALPHA_OPTIONS.get(format, {}))
    return file.getvalue()


def _own_orientation(data: bytes, dice: np.random.Generator) -> bytes:
    """The same pixels with an orientation in XMP alone, in a PNG, WebP or TIFF, if Pillow can write them."""
    xmp = _XMP % int(dice.integers(0, 10))
    file, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    try:
        with Image.open(io.BytesIO(data)) as image:
            format, picture = image.format, image.copy()
        if format == "PNG":
            texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
            picture.save(file, format, pnginfo=texts)
        elif format == "WEBP":
            picture.save(file, format, xmp=xmp, lossless=True)
        elif format == "TIFF":
            picture.save(file, format, tiffinfo={_XMP_TAG: xmp})
    except (OSError, ValueError):
        return data
    return file.getvalue() or data


def _jpeg_orientation(data: bytes, dice: np.random.Generator) -> bytes:
    content = b"http://ns.adobe.com/xap/1.0/\0" + _XMP % int(dice.integers(0, 10))
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


def _jp2_orientation(data: bytes, dice: np.random.Generator) -> bytes:
    at = data.find(b"jp2c") - 4
    return data if at < 0 else data[:at] + boxes.box(b"uuid", boxes.XMP + _XMP % int(dice.integers(0, 10))) + data[at:]


def _empty_tile(data: bytes, dice: np.random.Generator) -> bytes:
    """Remove everything but the header from a tile-part."""
    first = data.find(b"\xff\x90\0\x0a")
    start = data.find(b"\xff\x93", first) + 2
    if first < 0 or start < 2:
        return data
    length = int.from_bytes(data[first + 6 : first + 10], "big")
    return data[: first + 6] + struct.pack(">I", start - first) + data[first + 10 : start] + data[first + length :]


_TIFF: list[Change] = [_tiff_value, _tiff_value, _tiff_count, _tiff_next, _tail, _alpha, _own_orientation]
_CHANGES: dict[str, list[Change]] = {
    "tif": _TIFF,
    "jpg": [_hole, _hole, _second_picture, _tail, _jpeg_orientation],
    "jp2": [_empty_tile, _jp2_orientation, _zeros, _tail, _alpha],
    "webp": [_zeros, _tail, _alpha, _own_orientation],
    "png": [_zeros, _tail, _alpha, _own_orientation],
}
