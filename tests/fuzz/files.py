"""Sound files that were damaged: flipped bits, missing ends, exchanged headers, impossible numbers and sizes."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.fuzz.odd_files import odd
from tests.unit.scans.conftest import pillow_bytes, ramp, tiff_bytes
from tests.unit.scans.metadata.test_metadata_between_formats import _scan
from tests.unit.scans.variants.table import all_variants

Bytes = tuple[str, bytes]  # an extension, a file

_SIZES = (0, 1, 3, 257, 9_999, 32_768, 65_535, 65_536, 1_000_000, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Hostile:
    """A damaged file, and the kind of damage."""

    way: str
    extension: str
    data: bytes


def _flip(file: bytearray, place: int, dice: np.random.Generator, others: list[bytes]) -> None:
    for at in dice.integers(0, max(1, len(file)), int(dice.integers(1, 9))):
        file[at] ^= 1 << int(dice.integers(0, 8))


def _say_another_number(file: bytearray, place: int, dice: np.random.Generator, others: list[bytes]) -> None:
    number = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFF)[int(dice.integers(0, 5))]
    file[place : place + 4] = struct.pack("<>"[int(dice.integers(0, 2))] + "I", number)


def _cut(file: bytearray, place: int, dice: np.random.Generator, others: list[bytes]) -> None:
    del file[place:]


def _swap_head(file: bytearray, place: int, dice: np.random.Generator, others: list[bytes]) -> None:
    head = int(dice.integers(1, 64))
    file[:head] = others[int(dice.integers(0, len(others)))][:head]


def _repeat(file: bytearray, place: int, dice: np.random.Generator, others: list[bytes]) -> None:
    file[place:place] = file[place : place + int(dice.integers(1, 500))]


_WAYS = {
    "bits flipped": _flip,
    "hostile numbers": _say_another_number,
    "cut": _cut,
    "another's head": _swap_head,
    "a piece twice": _repeat,
}
_SHARES = (0.4, 0.2, 0.1, 0.15, 0.15)  # few of the cut files come as far as a decoder


def mutated(way: str, data: bytes, dice: np.random.Generator, others: list[bytes]) -> bytes:
    """The file after one to three changes of one kind."""
    file = bytearray(data)
    for _ in range(int(dice.integers(1, 4))):
        if file:
            _WAYS[way](file, int(dice.integers(0, len(file))), dice, others)
    return bytes(file)


def of_another_size(extension: str, data: bytes, width: int, height: int) -> bytes:
    """The same pixels under a header that claims another size, and is sound otherwise."""
    file = bytearray(data)
    match extension:
        case "png":
            file[16:24] = struct.pack(">II", width, height)
            file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
        case "jpg":
            at = next((data.find(bytes((0xFF, kind))) for kind in (0xC0, 0xC2) if bytes((0xFF, kind)) in data), -1)
            if at > 0:
                file[at + 5 : at + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
        case "jp2":
            at = data.find(b"\xff\x51") + 6
            tile = (width, height) if width % 2 else (64, 64)
            file[at : at + 32] = struct.pack(">8I", width, height, 0, 0, *tile, 0, 0)
        case "webp":
            at = data.find(b"VP8X")
            if at > 0:
                sides = ((width - 1) & 0xFFFFFF, (height - 1) & 0xFFFFFF)
                file[at + 12 : at + 18] = b"".join(side.to_bytes(3, "little") for side in sides)
        case _:
            _resize_tiff(file, width, height)
    return bytes(file)


def _resize_tiff(file: bytearray, width: int, height: int) -> None:
    """Set ImageWidth and ImageLength in the first directory of a classic TIFF; a BigTIFF stays as it is."""
    order = "<" if file[:2] == b"II" else ">"
    if len(file) < 16 or struct.unpack_from(order + "H", file, 2)[0] != 42:
        return
    (at,) = struct.unpack_from(order + "I", file, 4)
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from(order + "H", file, at)[0], 12):
        tag = struct.unpack_from(order + "H", file, entry)[0]
        if tag in (256, 257):
            struct.pack_into(order + "HII", file, entry + 2, 4, 1, width if tag == 256 else height)


def sound_files() -> list[Bytes]:
    """Every variant that can be read, files with much metadata, and TIFFs of several pages."""
    extensions = {"jpeg": "jpg", "png": "png", "webp": "webp", "jp2": "jp2", "tiff": "tif"}
    variants = [(variant.name, variant.data) for variant in all_variants() if variant.code is None]
    found = [(extensions.get(name.removeprefix("opencv ").split()[0], "tif"), data) for name, data in variants]
    found += [(extensions[format], _scan(format)) for format in ("jpeg", "png", "tiff")] * 4
    pages = [Image.fromarray(ramp(40 + 9 * number, 50)) for number in range(3)]
    several = pillow_bytes(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return found + [("tif", several), ("tif", tiff_bytes(np.stack([ramp(bits=16)] * 4), photometric="minisblack"))] * 3


def hostile_files(count: int, seed: int) -> Iterator[Hostile]:
    """Damaged files; the same seed gives the same files.

    A quarter has oddities of real files. Of the rest, a sixth claims a wrong size, and the others are damaged in one of
    _WAYS. A tenth of all gets a random extension, which mostly is that of another format.
    """
    sound, dice = sound_files(), np.random.default_rng(seed)
    datas = [data for _, data in sound]
    for number in range(count):
        extension, data = sound[number % len(sound)]
        if dice.random() < 1 / 4:
            way = "odd"
            data = odd(extension, data, dice)
        elif dice.random() < 1 / 6:
            way = "another size"
            width, height = (int(each) for each in dice.choice(_SIZES, 2))
            data = of_another_size(extension, data, width, height)
        else:
            way = str(dice.choice(list(_WAYS), p=_SHARES))
            data = mutated(way, data, dice, datas)
        if dice.random() < 1 / 10:
            extension = str(dice.choice(["tif", "jpg", "png", "jp2", "webp"]))
        yield Hostile(way, extension, data)


def bombs() -> list[Hostile]:
    """Small files of very large images, which are refused by their headers."""
    black = Image.new("1", (30_000, 30_000))
    coded = pillow_bytes(ramp(), "JPEG2000")
    files = [
        ("png", pillow_bytes(black, "PNG")),
        ("tif", pillow_bytes(black, "TIFF", compression="group4")),
        ("jp2", of_another_size("jp2", coded, 99_999, 99_999)),
    ]
    return [Hostile("bomb", extension, data) for extension, data in files]
