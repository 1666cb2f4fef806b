"""Training on generated photos: single steps on batches that are ready, and the loop of `photochrom train`.

python -m worker.bench.training
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import cycle
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.bench.lines import answer
from worker.model.backends.loading import load_backend
from worker.system.parent_watch import end_with_parent
from worker.training.data.photo_cache import PhotoCache

_PHOTOS = 400
_PHOTO_PX = (256, 340)  # height and width, as the photo cache keeps them
_CLASSIFIERS = 2
_READY = 6  # batches that are made beforehand, to measure only the step


class TrainingBench:
    """One network in training, in this process."""

    def __init__(self) -> None:
        self._loop: Any = None
        self._model: Any = None
        self._batches: Any = None
        self._ready: list[Any] = []

    def load(self, side_px: int | None = None, batch_size: int | None = None) -> dict[str, float]:
        """Builds the network and its batches with the settings of `photochrom train`, and takes two steps."""
        load_backend()
        fusion = import_module("worker.training.fitting.fusion")  # imported only now, because it loads TensorFlow
        self._loop = import_module("worker.training.fitting.loop")
        usual = fusion.FusionConfig(head="both")
        config = replace(
            usual, side_px=side_px or usual.side_px, batch_size=batch_size or usual.batch_size, looks=fusion.LOOKS_SHARE
        )
        rng = np.random.default_rng(0)
        logits = [rng.normal(size=(_PHOTOS, 1000)).astype(np.float16) for _ in range(_CLASSIFIERS)]
        self._model, self._batches = fusion.prepare(_made_up_cache(rng), logits, config)
        self._ready = [self._batches(step) for step in range(_READY)]
        self._run(iter(self._ready[:2]), 0.0, least=2)
        return {"side_px": config.side_px, "batch_size": config.batch_size}

    def bare(self, seconds: float) -> dict[str, float]:
        """Steps on batches that are ready."""
        return self._run(cycle(self._ready), seconds)

    def train(self, seconds: float) -> dict[str, float]:
        """Steps as the training loop takes them, each on a batch that is made for it."""
        batches = self._loop.batches_ahead(self._batches, _READY)
        try:
            return self._run(batches, seconds)
        finally:
            batches.close()

    def _run(self, batches: Iterator[Any], seconds: float, least: int = 1) -> dict[str, float]:
        began, cpu_began, steps = time.perf_counter(), time.process_time(), 0
        while steps < least or time.perf_counter() - began < seconds:
            self._loop.train_step(self._model, next(batches))
            steps += 1
        ended, cpu_ended = time.perf_counter(), time.process_time()
        return {"scans": steps, "seconds": ended - began, "cpu_seconds": cpu_ended - cpu_began}


def _made_up_cache(rng: np.random.Generator) -> PhotoCache:
    """Smooth photos of many colours, as the cache holds them."""
    height, width = _PHOTO_PX
    photos = [_photo(rng, height, width) for _ in range(_PHOTOS)]
    names = np.array([f"made-up/{number}.png" for number in range(_PHOTOS)])
    shapes, size = np.tile([height, width], (_PHOTOS, 1)), 3 * height * width
    return PhotoCache(names, shapes, np.arange(_PHOTOS) * size, np.concatenate([p.ravel() for p in photos]), {})


def _photo(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def main() -> None:
    end_with_parent()
    bench = TrainingBench()
    answer({"load": bench.load, "bare": bench.bare, "train": bench.train})


if __name__ == "__main__":
    main()
    os._exit(0)  # a device's own threads may never end
