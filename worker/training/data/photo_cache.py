"""The training photos, decoded once into one memory-mapped file, so that loading costs next to nothing.

A JPEG takes longer to decode than the small crop of it that a step sees. The cache holds each photo's middle at a
short side of 256 px; the operating system keeps in memory what fits and no more.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.training.data.photos import Census, Pixels, colour_photos
from worker.training.errors import TrainingError

SHORT_SIDE_PX = 256
LONG_SIDE_PX = 384
VALIDATION_ONE_IN = 20  # photos kept for choosing, by a hash of the name, so that a longer list moves none


@dataclass(frozen=True)
class PhotoCache:
    """Photos by row. `training` and `validation` are rows; no photo is in both."""

    names: NDArray[np.str_]
    shapes: NDArray[np.int64]  # (n, 2), height and width
    offsets: NDArray[np.int64]  # (n,), where each photo begins, bytes
    pixels: NDArray[np.uint8]  # (bytes,), memory-mapped
    census: dict[str, int]
    kept_one_in: Mapping[str, int] = field(default_factory=dict)  # by folder, for choosing; VALIDATION_ONE_IN elsewhere

    def photo(self, row: int) -> Pixels:
        """(height, width, 3), RGB, 0..255."""
        height, width = self.shapes[row]
        start = self.offsets[row]
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    @property
    def training(self) -> NDArray[np.intp]:
        return np.flatnonzero(~self._held_back())

    @property
    def validation(self) -> NDArray[np.intp]:
        return np.flatnonzero(self._held_back())

    def by_folder(self) -> dict[str, int]:
        """Photos by the folder that they lie in, for the model card."""
        return dict(Counter(str(Path(str(name)).parent) for name in self.names))

    def weights(self, rows: NDArray[np.intp], of_folders: Mapping[str, int]) -> NDArray[np.intp]:
        """How often each of these photos counts (n,): its folder's weight, 1 for a folder without one."""
        return np.array([of_folders.get(str(Path(str(self.names[row])).parent), 1) for row in rows], np.intp)

    def _held_back(self) -> NDArray[np.bool_]:
        shares = [self.kept_one_in.get(str(Path(str(name)).parent), VALIDATION_ONE_IN) for name in self.names]
        return np.array([is_validation(str(name), n) for name, n in zip(self.names, shares, strict=True)], bool)


def is_validation(name: str, one_in: int = VALIDATION_ONE_IN) -> bool:
    """Whether the photo of this name, one in so many, is for choosing and never for training."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0


def build_cache(sources: Sequence[Path], folder: Path) -> PhotoCache:
    """Decodes the photos of `sources` into `folder`, or opens what is there from an earlier run.

    Raises TrainingError if there is no colour photo, too few to keep one for choosing, if the disk is full, or if the
    cache holds other sources' photos.
    """
    if (folder / "index.npz").is_file():
        _check_sources(sources, folder)
    else:
        try:
            _fill(sources, folder)
        except OSError as error:
            raise TrainingError(
                f"the photo cache {folder} can't be written ({error}); make room or name another"
            ) from None
    cache = open_cache(folder)
    if not len(cache.validation) or not len(cache.training):
        raise TrainingError(f"{len(cache.names)} colour photos leave none to choose by; give a hundred or more")
    return cache


def open_cache(folder: Path) -> PhotoCache:
    """A cache that `build_cache` made."""
    index: dict[str, Any] = dict(np.load(folder / "index.npz"))
    census = dict(zip(index["reasons"].tolist(), index["counts"].tolist(), strict=True))
    pixels = np.memmap(folder / "pixels.bin", np.uint8, mode="r")
    return PhotoCache(index["names"], index["shapes"], index["offsets"], pixels, census)


def _check_sources(sources: Sequence[Path], folder: Path) -> None:
    """Caches of earlier versions do not say whose photos they hold."""
    index = np.load(folder / "index.npz")
    cached = index["sources"].tolist() if "sources" in index else _places(sources)
    if cached != _places(sources):
        raise TrainingError(
            f"{folder} holds the photos of {', '.join(cached)}, not those of {', '.join(_places(sources))}; "
            "give another --cache or --output, or remove it"
        )


def _places(sources: Sequence[Path]) -> list[str]:
    return [str(source.resolve()) for source in sources]


def _fill(sources: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    census = Census()
    names, shapes, offsets = [], [], [0]
    with (folder / "pixels.bin").open("wb") as file:
        for name, photo in colour_photos(sources, census):
            kept = shrink(photo)
            file.write(kept.tobytes())
            names.append(name)
            shapes.append(kept.shape[:2])
            offsets.append(offsets[-1] + kept.size)
    if not names:
        raise TrainingError(f"no colour photo found ({census}); give folders or tar files of colour photos")
    reasons = asdict(census)
    np.savez(
        folder / "index.npz", names=np.array(names), shapes=np.array(shapes), offsets=np.array(offsets[:-1]),
        reasons=np.array(list(reasons)), counts=np.array(list(reasons.values())),
        sources=np.array(_places(sources)),
    )  # fmt: skip


def shrink(photo: Pixels) -> Pixels:
    """A photo's middle, its short side at most 256 px and its long side at most 384."""
    scale = SHORT_SIDE_PX / min(photo.shape[:2])
    if scale < 1:
        photo = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    height, width = photo.shape[:2]
    rows, columns = min(height, LONG_SIDE_PX), min(width, LONG_SIDE_PX)
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(photo[top : top + rows, left : left + columns])
