"""The training photos, decoded once into one memory-mapped file, so that loading a photo takes hardly any time.

Decoding a JPEG takes longer than everything else for the small crop that a step needs. The cache holds the middle of
each photo with a short side of 256 px. The operating system keeps as much of it in memory as fits.
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
# One photo in this many is kept for validation, by a hash of its name, so that new photos don't change the choice.
VALIDATION_ONE_IN = 20


@dataclass(frozen=True)
class PhotoCache:
    """Photos by row. `training` and `validation` are rows; no photo is in both."""

    names: NDArray[np.str_]
    shapes: NDArray[np.int64]  # (n, 2), height and width
    offsets: NDArray[np.int64]  # (n,), where each photo begins, bytes
    pixels: NDArray[np.uint8]  # (bytes,), memory-mapped
    census: dict[str, int]
    # By folder, for validation; VALIDATION_ONE_IN for others.
    kept_one_in: Mapping[str, int] = field(default_factory=dict)

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

    @property
    def sources(self) -> NDArray[np.str_]:
        """The source of each photo (n,): the folder that it lies in."""
        return np.array([str(Path(str(name)).parent) for name in self.names])

    def by_folder(self) -> dict[str, int]:
        """The number of photos in each folder, for the model card."""
        return dict(Counter(self.sources.tolist()))

    def weights(self, rows: NDArray[np.intp], of_folders: Mapping[str, int]) -> NDArray[np.intp]:
        """How often each of these photos counts (n,): the weight of its folder, or 1."""
        return np.array([of_folders.get(str(source), 1) for source in self.sources[rows]], np.intp)

    def _held_back(self) -> NDArray[np.bool_]:
        shares = [self.kept_one_in.get(str(source), VALIDATION_ONE_IN) for source in self.sources]
        return np.array([is_validation(str(name), n) for name, n in zip(self.names, shares, strict=True)], bool)


def is_validation(name: str, one_in: int = VALIDATION_ONE_IN) -> bool:
    """Whether the photo with this name is one of those for validation, which are never used in training."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0


def build_cache(sources: Sequence[Path], folder: Path) -> PhotoCache:
    """Decodes the photos of `sources` into `folder`, or opens the cache of an earlier run.

    Raises TrainingError if there is no colour photo, if there are too few to keep one for validation, if the disk is
    full, or if the cache holds photos of other sources.
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
    """Opens a cache that `build_cache` made."""
    index: dict[str, Any] = dict(np.load(folder / "index.npz"))
    census = dict(zip(index["reasons"].tolist(), index["counts"].tolist(), strict=True))
    pixels = np.memmap(folder / "pixels.bin", np.uint8, mode="r")
    return PhotoCache(index["names"], index["shapes"], index["offsets"], pixels, census)


def _check_sources(sources: Sequence[Path], folder: Path) -> None:
    """Raises TrainingError if the cache has other sources. Caches of earlier versions don't name their sources."""
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
