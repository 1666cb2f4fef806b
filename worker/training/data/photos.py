"""Reads colour photos from folders and tar files, one at a time, in bounded memory.

Grey and unusable photos are left out.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.training.errors import TrainingError

Pixels = NDArray[np.uint8]

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".avif"}
MIN_SIDE_PX = 96  # smaller photos show too little
MIN_CHROMA = 2.0  # mean CIE chroma of a photo that counts as colour; JPEG noise alone gives about 1


@dataclass
class Census:
    """How many photos were kept, and left out for which reason; `other` files have no photo's suffix."""

    kept: int = 0
    damaged: int = 0
    tiny: int = 0
    grey: int = 0
    other: int = 0

    def __str__(self) -> str:
        return f"{self.kept} photos; left out: {self.left_out()}"

    def left_out(self) -> str:
        """The counts of what was left out, in words."""
        return f"{self.damaged} damaged, {self.tiny} tiny, {self.grey} grey, {self.other} other files"


def colour_photos(sources: Sequence[Path], census: Census) -> Iterator[tuple[str, Pixels]]:
    """Name and pixels (height, width, 3), RGB, 0..255, of every usable photo; `census` counts as it goes.

    A photo's name is its path inside its tar or folder. Raises TrainingError for a source that can't be read.
    """
    for source in sources:
        for name, data in _files(source, census):
            photo = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
            if photo is None:
                census.damaged += 1
            elif min(photo.shape[:2]) < MIN_SIDE_PX:
                census.tiny += 1
            elif mean_chroma(rgb := np.ascontiguousarray(photo[..., ::-1], np.uint8)) < MIN_CHROMA:
                census.grey += 1
            else:
                census.kept += 1
                yield name, rgb


def mean_chroma(rgb: Pixels) -> float:
    """Mean CIE chroma of a photo (height, width, 3), 0..255; about 13 for an ordinary one, 0 for a grey one."""
    lab = to_lab(rgb[::2, ::2])
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def to_lab(rgb: Pixels) -> NDArray[np.float32]:
    """RGB (..., height, width, 3), 0..255 -> L*, a*, b* of the same shape, by OpenCV, which is faster."""
    return np.asarray(cv2.cvtColor(np.asarray(rgb, np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def square_lab(rgb: Pixels, side_px: int) -> NDArray[np.float32]:
    """L*, a*, b* of a photo's centre square, scaled to this side: (side, side, 3)."""
    return to_lab(np.asarray(cv2.resize(np.asarray(centre_square(rgb)), (side_px, side_px)), np.uint8))


def is_photo(name: str) -> bool:
    """Whether a file with this name is read as a photo."""
    return Path(name).suffix.lower() in SUFFIXES


def _files(source: Path, census: Census) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            if is_photo(path.name):
                yield path.relative_to(source).as_posix(), path.read_bytes()
            else:
                census.other += 1
    elif source.is_file() and tarfile.is_tarfile(source):
        yield from _members(source, census)
    else:
        raise TrainingError(f"{source} is neither a folder nor a tar file; give a folder or tar of colour photos")


def _members(source: Path, census: Census) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                if not is_photo(member.name):
                    census.other += member.isfile()
                elif (file := tar.extractfile(member)) is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, OSError) as error:
        raise TrainingError(f"{source} broke off ({error}); give a whole tar file") from None


def centre_square(photo: NDArray[np.generic]) -> NDArray[np.generic]:
    """(height, width, ...) -> the largest square in its middle, (side, side, ...); a view."""
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return photo[top : top + side, left : left + side]
