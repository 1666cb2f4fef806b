"""Batches for training the whole network: a view's lightness and colours, its cached features, and an embedding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.colour.lab import luminance_to_lightness, srgb_to_linear
from worker.model.network import EMBEDDING_CLASSES
from worker.training.data.class_logits import varied
from worker.training.data.photos import to_lab
from worker.training.views.map_cache import ViewMaps
from worker.training.views.photo_views import photo_view
from worker.training.views.sampling import SourceSampler
from worker.training.views.square_cache import SquareCache

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class JoinedConfig:
    """What a batch is made of."""

    side_px: int = 160
    batch_size: int = 16
    view_numbers: tuple[int, ...] = (0, 2)
    view_shares: tuple[float, ...] = (0.6, 0.4)
    without_map: float = 0.1  # share of photos whose feature maps are zeros
    without_embedding: float = 0.1
    seed: int = 1


class JoinedBatches:
    """Batches for `build_network("both", features="lite2")`; batch k is the same in every run.

    `class_logits` gives the teacher's logits (n, 1000) for coarse maps (n, 7, 7, 352). With random variations they
    replace the embedding, because the bundled embeddings were distilled from them.
    """

    def __init__(
        self, cache: SquareCache, views: Sequence[ViewMaps], sampler: SourceSampler,
        class_logits: Callable[[Any], Floats], config: JoinedConfig,
    ) -> None:  # fmt: skip
        self._cache, self._views, self._sampler, self._config = cache, views, sampler, config
        self._class_logits = class_logits

    def __call__(self, step: int) -> tuple[list[Any], list[Floats]]:
        """-> [lightness (batch, side, side, 1), embedding (batch, 1000), three maps], [a*, b*, a*, b*], CIE units."""
        config = self._config
        rng = np.random.default_rng([config.seed, step, 1])
        rows = np.sort(self._sampler.draw(config.batch_size, rng))
        chosen = rng.choice(len(self._views), size=len(rows), p=config.view_shares)
        parts = [self._views[view].batch([row])[0] for view, row in zip(chosen, rows, strict=True)]
        maps = [np.concatenate([part[level] for part in parts]) for level in range(3)]
        embeddings = self._embeddings(maps[-1], rng)
        pairs = [
            view_pixels(self._cache, int(row), config.view_numbers[view], config.side_px)
            for view, row in zip(chosen, rows, strict=True)
        ]
        lightness, ab = (np.stack(part) for part in zip(*pairs, strict=True))
        mirrored = rng.random(len(rows)) < 0.5
        for values in (*maps, lightness, ab):
            values[mirrored] = values[mirrored][:, :, ::-1]
        blind = rng.random(len(rows)) < config.without_map
        for values in maps:
            values[blind] = 0
        return [lightness, embeddings, *maps], [ab, ab]

    def _embeddings(self, coarse: Any, rng: np.random.Generator) -> Floats:
        logits = np.asarray(self._class_logits(coarse), np.float16)
        has_embedding = rng.random(len(logits)) >= self._config.without_embedding
        return np.stack([
            varied([logits], row, rng) if has_embedding[row] else np.zeros(EMBEDDING_CLASSES, np.float32)
            for row in range(len(logits))
        ])  # fmt: skip


def view_pixels(cache: SquareCache, row: int, number: int, side_px: int) -> tuple[Floats, Floats]:
    """-> L* / 50 - 1 of what the network sees of a view (side, side, 1), and the photo's a*, b* (side, side, 2)."""
    view, size = photo_view(cache.pixels[row], row, number), (side_px, side_px)
    grey = np.asarray(cv2.resize(view.grey, size, interpolation=cv2.INTER_AREA))
    lightness = luminance_to_lightness(srgb_to_linear(np.clip(grey / 255, 0, 1)))
    ab = to_lab(np.asarray(cv2.resize(view.rgb, size, interpolation=cv2.INTER_AREA), np.uint8))[..., 1:]
    return np.asarray(lightness[..., None] / 50 - 1, np.float32), np.ascontiguousarray(ab)
