"""Functions that change entries in the first directory of a classic little-endian TIFF."""

import struct


def directory_of(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 4)[0])


def entry_of(data: bytes, tag: int) -> int:
    """The byte at which the tag's entry begins."""
    at = directory_of(data)
    count = struct.unpack_from("<H", data, at)[0]
    return next(at + 2 + 12 * n for n in range(count) if struct.unpack_from("<H", data, at + 2 + 12 * n)[0] == tag)


def number_of(data: bytes, tag: int) -> int:
    """The single value, or the pointer, in the tag's entry."""
    return int(struct.unpack_from("<I", data, entry_of(data, tag) + 8)[0])


def with_number(data: bytes, tag: int, number: int) -> bytes:
    """The file with another single value, or another pointer, in the tag's entry."""
    at = entry_of(data, tag) + 8
    return data[:at] + struct.pack("<I", number) + data[at + 4 :]


def with_next(data: bytes, pointer: int) -> bytes:
    """The file with another pointer to the next directory in its first directory."""
    at = directory_of(data)
    link = at + 2 + 12 * struct.unpack_from("<H", data, at)[0]
    return data[:link] + struct.pack("<I", pointer) + data[link + 4 :]


def without(data: bytes, tag: int) -> bytes:
    """The file without the tag; an entry with an unknown private tag is added instead."""
    at = directory_of(data)
    place = entry_of(data, tag)
    last = at + 2 + 12 * (struct.unpack_from("<H", data, at)[0] - 1)
    entries = data[at + 2 : place] + data[place + 12 : last + 12] + struct.pack("<HHII", 65000, 3, 1, 0)
    return data[: at + 2] + entries + data[last + 12 :]


def with_entry(data: bytes, tag: int, kind: int, number: int, count: int = 1) -> bytes:
    """The file with this entry in its first directory, which is written again at the end of the file."""
    at = directory_of(data)
    places = range(at + 2, at + 2 + 12 * int(struct.unpack_from("<H", data, at)[0]), 12)
    entries = {int(struct.unpack_from("<H", data, place)[0]): data[place : place + 12] for place in places}
    entries[tag] = struct.pack("<HHII", tag, kind, count, number)
    end = len(data) + len(data) % 2
    directory = struct.pack("<H", len(entries)) + b"".join(entry for _, entry in sorted(entries.items())) + bytes(4)
    return data[:4] + struct.pack("<I", end) + data[8:].ljust(end - 8, b"\0") + directory
