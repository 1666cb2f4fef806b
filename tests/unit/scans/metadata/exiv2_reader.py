"""Metadata that libexiv2 reads and writes, so that the tests do not depend on the project's own code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import exiv2


@contextmanager
def _opened(path: Path) -> Iterator[exiv2.Image]:
    image = exiv2.ImageFactory.open(str(path))
    image.readMetadata()
    yield image


def read_metadata(path: Path) -> dict[str, str]:
    """Every value by its key, such as `Exif.Photo.DateTimeOriginal`."""
    with _opened(path) as image:
        blocks = (image.exifData(), image.iptcData(), image.xmpData())
        return {datum.key(): datum.toString() for block in blocks for datum in block}


def read_icc_profile(path: Path) -> bytes:
    with _opened(path) as image:
        return bytes(image.iccProfile().data())


def copy_metadata(source: Path, target: Path) -> None:
    with _opened(source) as image, _opened(target) as other:
        other.setExifData(image.exifData())
        other.setIptcData(image.iptcData())
        other.setXmpData(image.xmpData())
        other.writeMetadata()
