"""Photoshop's image resources, in which JPEG keeps IPTC. (Adobe Photoshop File Formats, "Image Resource Blocks".)"""

from dataclasses import dataclass

IPTC = 0x0404
# Resources that are true only for the grey scan: thumbnails, and its ICC profile or the statement that it has none.
_UNTRUE = (0x0409, 0x040C, 0x040F, 0x0411)


@dataclass(frozen=True, slots=True)
class Resource:
    resource_id: int
    name: bytes  # with its length in front, padded to an even size
    data: bytes


def read_resources(block: bytes) -> tuple[list[Resource], bool]:
    """The resources of a block that are also true for an output, and whether the block is complete."""
    resources, place, is_whole = [], 0, True
    while block[place : place + 4] == b"8BIM" and place + 12 <= len(block):
        resource_id = int.from_bytes(block[place + 4 : place + 6], "big")
        name_bytes = (block[place + 6] + 2) // 2 * 2
        name = block[place + 6 : place + 6 + name_bytes]
        place += 6 + name_bytes
        length = int.from_bytes(block[place : place + 4], "big")
        data = block[place + 4 : place + 4 + length]
        place += 4 + (length + 1) // 2 * 2
        is_whole = len(data) == length
        if is_whole and resource_id not in _UNTRUE:
            resources.append(Resource(resource_id, name, data))
    return resources, is_whole and not block[place:].strip(b"\0")


def pack_resources(resources: list[Resource]) -> bytes:
    return b"".join(
        b"8BIM"
        + resource.resource_id.to_bytes(2, "big")
        + resource.name
        + len(resource.data).to_bytes(4, "big")
        + resource.data
        + b"\0" * (len(resource.data) % 2)
        for resource in resources
    )
