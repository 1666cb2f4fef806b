"""A classifier's features for each place of the training photos: computed once, and stored beside them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from worker.model.backends.choice import backend
from worker.model.classifiers.embedding import Embedding
from worker.model.colorizer import on_device
from worker.system.whole_files import write_beside_then_rename
from worker.training.data.photo_cache import SHORT_SIDE_PX, PhotoCache
from worker.training.data.photos import square_lab
from worker.training.errors import TrainingError

Floats = NDArray[np.float32]
Features = NDArray[np.float16]

CELLS = 16  # places in each direction of a photo's centre square
COMPONENTS = 64  # components kept for each map
BATCH = 16
SAMPLE = 512  # photos from which the components are computed
SAMPLE_PLACES = 20_000


def own_features(cache: PhotoCache, embedding: Embedding, folder: Path, say: Callable[[str], None]) -> Features:
    """Features (n, 16, 16, k) of the cache's photos in grey, memory-mapped; read from `folder` if they are there.

    They are the components with the largest variance of each feature map, and of the mean of the last map. Raises
    TrainingError if they can't be written.
    """
    # Unlike a file of logits, this file has no photo names. The cache may have been made again from other photos, so
    # the names are hashed.
    photos = hashlib.sha256("\n".join(map(str, cache.names)).encode()).hexdigest()[:8]
    path = folder / f"features-{embedding.fingerprint()}-{photos}.npy"
    if not path.is_file():
        try:
            _write(cache, embedding, path, say)
        except OSError as error:
            raise TrainingError(f"{path} can't be written ({error}); make room or name another --cache") from None
    return np.asanyarray(np.load(path, mmap_mode="r"))


def load_features(path: Path, names: Iterable[str]) -> Features:
    """Any network's features of these photos, from an .npz of `names` and `features` (n, 16, 16, k).

    Raises TrainingError for a file that can't be read, lacks a photo or has another number of places.
    """
    try:
        with np.load(path) as file:
            rows = {str(name): row for row, name in enumerate(file["names"])}
            features = np.asarray(file["features"][[rows[str(name)] for name in names]], np.float16)
    except KeyError as error:
        raise TrainingError(f"{path} has no features for {error}; expected names and features for each photo") from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} can't be read ({error}); expected an .npz of names and features") from None
    if features.ndim != 4 or features.shape[1:3] != (CELLS, CELLS):
        raise TrainingError(f"{path} has features of shape {features.shape}; expected (photos, {CELLS}, {CELLS}, k)")
    return features


def _write(cache: PhotoCache, embedding: Embedding, path: Path, say: Callable[[str], None]) -> None:
    maps = FeatureMaps(embedding)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(cache.names), min(SAMPLE, len(cache.names)), replace=False))
    sample = list(zip(*(maps(squares) for squares in _squares(cache, rows)), strict=True))
    components = [_components(np.concatenate(parts), rng) for parts in sample]
    width = sum(part.directions.shape[1] for part in components)
    with write_beside_then_rename(path) as new:  # a run that is stopped while it writes leaves no half of a file
        kept = np.lib.format.open_memmap(new, "w+", np.float16, (len(cache.names), CELLS, CELLS, width))
        done = 0
        for squares in _squares(cache, np.arange(len(cache.names))):
            features = [part(one) for part, one in zip(components, maps(squares), strict=True)]
            kept[done : done + len(squares)] = np.concatenate(features, axis=-1)
            done += len(squares)
            say(f"features of {embedding.name}: {done} of {len(kept)} photos")
        kept.flush()


class FeatureMaps:
    """An embedding's maps of photos, at 16x16 places each, and the mean of the last at each place."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = on_device(embedding)
        self._compute = backend().compile(self._maps, [((BATCH, SHORT_SIDE_PX, SHORT_SIDE_PX, 1), "float32")])

    def __call__(self, lightness: Floats) -> list[Floats]:
        """L* (n, 256, 256), 0..100, n at most 16 -> maps (n, 16, 16, channels)."""
        batch = np.zeros((BATCH, SHORT_SIDE_PX, SHORT_SIDE_PX, 1), np.float32)
        batch[: len(lightness), ..., 0] = lightness
        return [one[: len(lightness)] for one in self._compute(batch)]

    def _maps(self, lightness: Any) -> list[Any]:
        maps = self._embedding.feature_maps(lightness)
        mean = ops.mean(maps[-1], axis=(1, 2), keepdims=True)
        return [ops.image.resize(one, (CELLS, CELLS), antialias=True) for one in (*maps, mean)]


@dataclass(frozen=True)
class _Components:
    """A mean, and the directions of largest variance (channels, k), each scaled by the fourth root of its variance.

    So large components still count more than small ones, but less than without scaling.
    """

    mean: Floats
    directions: Floats

    def __call__(self, features: Floats) -> Floats:
        return np.asarray((features - self.mean) @ self.directions, np.float32)


def _components(features: Floats, rng: np.random.Generator) -> _Components:
    """The components of maps (n, 16, 16, channels)."""
    places = features.reshape(-1, features.shape[-1])
    places = places[rng.choice(len(places), min(SAMPLE_PLACES, len(places)), replace=False)]
    mean, spread = places.mean(0), places.std(0) + np.float32(1e-6)
    scaled = (places - mean) / spread
    variances, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    principal = slice(None, -COMPONENTS - 1, -1)
    width = np.sqrt(np.sqrt(np.maximum(variances[principal], 1e-6)))
    return _Components(mean, np.asarray(directions[:, principal] / spread[:, None] / width, np.float32))


def _squares(cache: PhotoCache, rows: NDArray[Any]) -> Iterator[Floats]:
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        yield np.stack([square_lab(cache.photo(int(row)), SHORT_SIDE_PX)[..., 0] for row in part])
