"""Photoshop's image resources, in which JPEG keeps IPTC. (Adobe Photoshop File Formats, "Image Resource Blocks".)"""

from dataclasses import dataclass

IPTC = 0x0404
# Of the grey scan: thumbnails, and the ICC profile, or that there is none.
_UNTRUE = (0x0409, 0x040C, 0x040F, 0x0411)


@dataclass(frozen=True, slots=True)
class Resource:
    kind: int
    name: bytes  # with its length before it, padded to even
    data: bytes


def read_resources(block: bytes) -> tuple[list[Resource], bool]:
    """The resources of a block that are true of an output too, as far as it is whole; and whether it is."""
    found, at, is_whole = [], 0, True
    while block[at : at + 4] == b"8BIM" and at + 12 <= len(block):
        kind = int.from_bytes(block[at + 4 : at + 6], "big")
        name_bytes = (block[at + 6] + 2) // 2 * 2
        name = block[at + 6 : at + 6 + name_bytes]
        at += 6 + name_bytes
        length = int.from_bytes(block[at : at + 4], "big")
        data = block[at + 4 : at + 4 + length]
        at += 4 + (length + 1) // 2 * 2
        is_whole = len(data) == length
        if is_whole and kind not in _UNTRUE:
            found.append(Resource(kind, name, data))
    return found, is_whole and not block[at:].strip(b"\0")


def pack_resources(resources: list[Resource]) -> bytes:
    return b"".join(
        b"8BIM"
        + each.kind.to_bytes(2, "big")
        + each.name
        + len(each.data).to_bytes(4, "big")
        + each.data
        + b"\0" * (len(each.data) % 2)
        for each in resources
    )
