"""Stacks: many pictures one after the other, of which only the first has a directory.

ImageJ writes large stacks in this way (its TiffEncoder), MetaMorph always does, and tifffile has an option for it.
"""

import json
import math
import re
from collections.abc import Mapping

from worker.scans.formats.tiff.ifd_reader import Entry, IfdReader
from worker.scans.formats.tiff.pieces import Place
from worker.scans.formats.tiff.tags import Tag

_IMAGEJ, _IMAGES = b"ImageJ=", re.compile(rb"^images=(\d{1,9})", re.MULTILINE)
_MAX_DESCRIPTION = 1 << 16  # bytes
_MAX_PICTURES = 100_000


def picture_count(reader: IfdReader, entries: Mapping[int, Entry], place: Place) -> int:
    """The number of pictures of this size that a directory stands for; 1 for an ordinary directory."""
    if Tag.UIC2 in entries:
        return min(_MAX_PICTURES, max(1, entries[Tag.UIC2].count))
    entry = entries.get(Tag.IMAGE_DESCRIPTION)
    if entry is None or entry.length > _MAX_DESCRIPTION or reader.is_beyond(entry):
        return 1
    description = reader.value(entry).data
    if description.startswith(_IMAGEJ):
        images = _IMAGES.search(description)
        return min(_MAX_PICTURES, max(1, int(images[1]))) if images else 1
    return _shaped(description, place) if description.startswith(b'{"shape"') else 1


def _shaped(description: bytes, place: Place) -> int:
    """The number of pictures by tifffile's own description, which has the shape of all pictures together."""
    try:
        shape = json.loads(description.rstrip(b"\0"))["shape"]
        count, remainder = divmod(math.prod(map(int, shape)), place.width * place.height * place.samples)
    except (ValueError, KeyError, TypeError, RecursionError):
        return 1
    return min(_MAX_PICTURES, count) if count > 0 and not remainder else 1
