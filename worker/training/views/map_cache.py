"""ImageNet features of every view, computed once. Training on them takes a fortieth of the time of computing them.

One folder a view: `fine.bin`, `middle.bin`, `coarse.bin` (bfloat16), and the colours at the fine map's places.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from worker.model.classifiers.features import FEATURES_PX, MAP_CHANNELS
from worker.training.data.photos import to_lab
from worker.training.views.photo_views import View, photo_view
from worker.training.views.square_cache import SquareCache

Floats = NDArray[np.float32]
Maps = tuple[Any, Any, Any]

STRIDES = (8, 16, 32)
FILES = ("fine.bin", "middle.bin", "coarse.bin")
COLOURS_FILE = "ab.bin"
DONE_FILE = "done"
PLACES = FEATURES_PX // STRIDES[0]  # 28 a side, where colours are kept
BATCH = 64
THREADS = 2


@dataclass(frozen=True)
class ViewMaps:
    """One view of all photos: maps (n, side, side, channels) of three strides, bfloat16; a*, b* (n, 28, 28, 2)."""

    maps: Maps
    ab: NDArray[np.float16]  # CIE units

    def batch(self, rows: Sequence[int] | NDArray[np.intp]) -> tuple[list[Any], Floats]:
        """The maps of these rows and their colours."""
        order = [int(row) for row in rows]
        return [np.stack([one[row] for row in order]) for one in self.maps], np.stack(
            [self.ab[row] for row in order]
        ).astype(np.float32)


def build_view(cache: SquareCache, number: int, folder: Path, compute: Callable[[Floats], Maps]) -> ViewMaps:
    """Computes view `number` of all photos into `folder`, or opens the result of an earlier call.

    `compute` gives three maps for grey (batch, 224, 224, 1), 0..255.
    """
    if not (folder / DONE_FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        files = [(folder / name).open("wb") for name in (*FILES, COLOURS_FILE)]
        with ThreadPoolExecutor(THREADS) as pool:
            for first in range(0, len(cache.names), BATCH):
                rows = range(first, min(first + BATCH, len(cache.names)))
                views = list(pool.map(lambda row: photo_view(cache.pixels[row], row, number), rows))
                maps = compute(np.stack([view.grey for view in views])[..., None])
                colours = np.stack(list(pool.map(place_colours, views)))
                for file, values in zip(files, (*maps, colours), strict=True):
                    file.write(np.ascontiguousarray(values).tobytes())
        for file in files:
            file.close()
        (folder / DONE_FILE).touch()
    return open_view(folder, len(cache.names))


def open_view(folder: Path, photos: int) -> ViewMaps:
    """A view that `build_view` made, memory-mapped."""
    maps = [
        np.memmap(
            folder / name, ml_dtypes.bfloat16, mode="r",
            shape=(photos, FEATURES_PX // stride, FEATURES_PX // stride, channels),
        )
        for name, stride, channels in zip(FILES, STRIDES, MAP_CHANNELS, strict=True)
    ]  # fmt: skip
    ab = np.memmap(folder / COLOURS_FILE, np.float16, mode="r", shape=(photos, PLACES, PLACES, 2))
    return ViewMaps((maps[0], maps[1], maps[2]), ab)


def place_colours(view: View, places: int = PLACES) -> NDArray[np.float16]:
    """The mean a*, b* at each place of the fine map (places, places, 2), CIE units."""
    ab = to_lab(view.rgb)[..., 1:]
    return np.asarray(cv2.resize(ab, (places, places), interpolation=cv2.INTER_AREA), np.float16)
