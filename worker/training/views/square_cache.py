"""Whole photos in the form in which a worker shows them to the network: in a square, with their proportions, with
mirror images around them.

Every photo is decoded once into one memory-mapped file of squares with the same side, so that decoding does not slow
down later passes. `PhotoCache` stores photos for cropping; this cache stores them as a worker sees them.
"""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.training.data.photos import is_photo
from worker.training.errors import TrainingError

Pixels = NDArray[np.uint8]

INDEX_FILE = "index.npz"
PIXELS_FILE = "squares.bin"
THREADS = 2
DECODED_AHEAD = 256  # photos


@dataclass(frozen=True)
class SquareCache:
    """Photos by row, all of one side."""

    names: NDArray[np.str_]  # (n,), SOURCE/FILE
    boxes: NDArray[np.int64]  # (n, 4), left, top, width, height of the photo in its square, px
    pixels: Pixels  # (n, side, side, 3), RGB, memory-mapped

    @property
    def side_px(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def sources(self) -> NDArray[np.str_]:
        """The source of each photo (n,): the folder that its name begins with."""
        return np.array([str(name).split("/")[0] for name in self.names])


def build_square_cache(tars: Sequence[Path], folder: Path, side_px: int = 224) -> SquareCache:
    """Decodes the photos of `tars` into `folder`, or opens the cache of an earlier call.

    Raises TrainingError if the cache holds other tars' photos or another side, or if no photo can be read.
    """
    made_of = [path.name for path in tars]
    if (folder / INDEX_FILE).is_file():
        index = np.load(folder / INDEX_FILE)
        if index["made_of"].tolist() != made_of or int(index["side_px"]) != side_px:
            raise TrainingError(
                f"{folder} holds {', '.join(index['made_of'])} at {index['side_px']} px, not {', '.join(made_of)} "
                f"at {side_px} px; give another folder or remove this one"
            )
    else:
        _fill(tars, folder, side_px, made_of)
    return open_square_cache(folder)


def open_square_cache(folder: Path) -> SquareCache:
    """A cache that `build_square_cache` made."""
    index = np.load(folder / INDEX_FILE)
    side = int(index["side_px"])
    pixels = np.memmap(folder / PIXELS_FILE, np.uint8, mode="r", shape=(len(index["names"]), side, side, 3))
    return SquareCache(index["names"], index["boxes"], pixels)


def letterbox(photo: Pixels, side_px: int) -> tuple[Pixels, tuple[int, int, int, int]]:
    """RGB (height, width, 3) -> (side, side, 3) with mirrored surroundings, and the photo's box in it, px."""
    height, width = photo.shape[:2]
    scale = side_px / max(height, width)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (side_px - inner_width) // 2, (side_px - inner_height) // 2
    interpolation = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    fitted = cv2.resize(photo, (inner_width, inner_height), interpolation=interpolation)
    below, right = side_px - top - inner_height, side_px - left - inner_width
    square = cv2.copyMakeBorder(fitted, top, below, left, right, cv2.BORDER_REFLECT)
    return np.asarray(square, np.uint8), (left, top, inner_width, inner_height)


def _fill(tars: Sequence[Path], folder: Path, side_px: int, made_of: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names, boxes = [], []
    with (folder / PIXELS_FILE).open("wb") as file, ThreadPoolExecutor(THREADS) as pool:
        for batch in _batches(tars):
            for name, square in zip((name for name, _ in batch), pool.map(_square(side_px), batch), strict=True):
                if square is not None:
                    names.append(name)
                    boxes.append(square[1])
                    file.write(square[0].tobytes())
    if not names:
        raise TrainingError(f"{', '.join(made_of)} hold no photo that can be read; give tars of colour photos")
    np.savez(
        folder / INDEX_FILE, names=np.array(names), boxes=np.array(boxes), side_px=side_px, made_of=np.array(made_of)
    )


def _square(side_px: int) -> Callable[[tuple[str, bytes]], tuple[Pixels, tuple[int, int, int, int]] | None]:
    def make(entry: tuple[str, bytes]) -> tuple[Pixels, tuple[int, int, int, int]] | None:
        photo = cv2.imdecode(np.frombuffer(entry[1], np.uint8), cv2.IMREAD_COLOR)
        return None if photo is None else letterbox(np.ascontiguousarray(photo[..., ::-1]), side_px)

    return make


def _batches(tars: Sequence[Path]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if is_photo(member.name) else None
                if file is not None:
                    batch.append((member.name.removeprefix("./"), file.read()))
                if len(batch) == DECODED_AHEAD:
                    yield batch
                    batch = []
    if batch:
        yield batch
