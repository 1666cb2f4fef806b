"""The bare model, a large matrix product, and a plain script such as a user would write instead of a worker.

    python -m worker.bench.model

The only part of the bench that loads TensorFlow.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.bench.lines import answer
from worker.bench.short_way import ShortWay, coloured, lab_of, square_of
from worker.model.backends.loading import load_backend
from worker.scans import ScanLimits, configure_libraries, open_scan
from worker.system.parent_watch import end_with_parent

if TYPE_CHECKING:  # it loads TensorFlow
    from worker.model.backends.precision import Precision

_LIMITS = ScanLimits(max_bytes=1 << 40, max_pixels=1 << 40)


class ModelBench:
    """One model in this process. Times are in seconds of time.perf_counter()."""

    def __init__(self) -> None:
        self._colorizer: Any = None
        self._squares = np.full((1, 400, 400), 50, np.float32)  # L*, 0..100
        self._matrix: Any = None

    def load(
        self,
        checkpoint: str,
        embedding: str | None,
        head: str | None,
        sizes: list[int],
        precision: "Precision | None" = None,
        input_px: int | None = None,
        int8_folder: str | None = None,
    ) -> dict[str, float | str]:
        """Load a checkpoint for batches of these sizes.

        Returns facts about it, such as its 10^9 operations per scan.
        """
        load_backend()
        from worker.model.colorizer import Colorizer

        began = time.perf_counter()
        self._colorizer = Colorizer.load(
            Path(checkpoint), max(sizes), embedding, head, tuple(sizes), precision, input_px,
            int8_folder=Path(int8_folder) if int8_folder else None,
        )  # fmt: skip
        return {
            "seconds": time.perf_counter() - began,
            "gflop_per_scan": self._colorizer.operations(min(sizes)) / min(sizes) / 1e9,
            "device": self._colorizer.device,
            "precision": self._colorizer.precision,
            "checkpoint": self._colorizer.checkpoint_id,
            "input_px": self._colorizer.card.input_px,
        }

    def take(self, paths: list[str]) -> int:
        """Open these scans and keep their model inputs in memory."""
        configure_libraries()
        self._squares = np.stack([open_scan(Path(p), p, _LIMITS).model_input().lightness for p in paths])
        return len(self._squares)

    def predict(self, batch: int, seconds: float) -> dict[str, float]:
        """Predict full batches of `batch` scans for about `seconds`, at least one batch."""
        scans, began = 0, time.perf_counter()
        while scans == 0 or time.perf_counter() - began < seconds:
            places = np.arange(scans, scans + batch) % len(self._squares)
            self._colorizer.predict(self._squares[places])
            scans += batch
        return {"scans": scans, "seconds": time.perf_counter() - began}

    def multiply(self, side: int, seconds: float) -> dict[str, float]:
        """Multiply two float32 matrices of `side` x `side` for about `seconds`."""
        import tensorflow as tf

        if self._matrix is None or self._matrix.shape[0] != side:
            self._matrix = tf.random.uniform((side, side))
            tf.linalg.matmul(self._matrix, self._matrix).numpy()
        times, began = 0, time.perf_counter()
        while times == 0 or time.perf_counter() - began < seconds:
            tf.linalg.matmul(self._matrix, self._matrix).numpy()
            times += 1
        return {"gflop": times * 2 * side**3 / 1e9, "seconds": time.perf_counter() - began}

    def script(
        self, source: str, destination: str, keys: list[str], endpoint_url: str | None, seconds: float
    ) -> dict[str, float]:
        """Fetch, predict and store one scan after the other for about `seconds`; nothing runs at the same time."""
        work = ShortWay(source, destination, endpoint_url)
        scans, began = 0, time.perf_counter()
        while scans == 0 or time.perf_counter() - began < seconds:
            self._colour(work, keys[scans % len(keys)])
            scans += 1
        return {"scans": scans, "seconds": time.perf_counter() - began}

    def script_through(self, source: str, destination: str, keys: list[str], endpoint_url: str | None) -> int:
        """As `script`, once through all keys. It ends at the first scan that it can't read, as a plain loop does."""
        work = ShortWay(source, destination, endpoint_url)
        for key in keys:
            self._colour(work, key)
        return len(keys)

    def _colour(self, work: ShortWay, key: str) -> None:
        lab = lab_of(work.fetch(key))
        ab = self._colorizer.predict(square_of(lab)[None])[0][0]
        work.store(key, coloured(lab, ab))


def main() -> None:
    end_with_parent()
    bench = ModelBench()
    answer(
        {
            "load": bench.load,
            "take": bench.take,
            "predict": bench.predict,
            "multiply": bench.multiply,
            "script": bench.script,
            "script_through": bench.script_through,
        }
    )


if __name__ == "__main__":
    main()
    os._exit(0)  # a device's threads may never end
