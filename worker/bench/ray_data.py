"""The same model over the same scans through Ray Data, as somebody would write it instead of a worker.

    python -m worker.bench.ray_data

Actors fetch, one actor holds the model, actors paint and store; Ray Data moves batches from one to the next.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from worker.bench.lines import answer
from worker.bench.short_way import ShortWay, coloured, lab_of, square_of
from worker.model.backends.loading import load_backend
from worker.system.parent_watch import end_with_parent

Batch = dict[str, NDArray[Any]]

_OBJECT_STORE_BYTES = 1 << 30
_ATTEMPTS = 4  # to start Ray
_MODEL_PID = "model.pid"


class Fetch:
    """Gives, for each key, the scan's bytes and the model's input."""

    def __init__(self, source: str, destination: str, endpoint_url: str) -> None:
        self._work = ShortWay(source, destination, endpoint_url)

    def __call__(self, batch: Batch) -> Batch:
        contents = [self._work.fetch(str(key)) for key in batch["key"]]
        squares = np.stack([square_of(lab_of(content)) for content in contents])  # (n, 400, 400), 0..100
        return {"key": batch["key"], "content": np.array(contents, object), "lightness": squares}


class Predict:
    """Gives a*, b* for each model input. It is the only actor that holds the model."""

    def __init__(self, model: dict[str, Any], batch_size: int, folder: str) -> None:
        load_backend()
        from worker.model.colorizer import Colorizer

        checkpoint = Path(model["checkpoint"])
        self._colorizer = Colorizer.load(
            checkpoint,
            batch_size,
            model["embedding"],
            model["head"],
            (),
            model["precision"],
            model["input_px"],
        )
        Path(folder, _MODEL_PID).write_text(str(os.getpid()))

    def __call__(self, batch: Batch) -> Batch:
        ab, _ = self._colorizer.predict(batch["lightness"])
        return {"key": batch["key"], "content": batch["content"], "ab": ab}


class Store:
    """Makes outputs of scans and their a*, b*, and stores them."""

    def __init__(self, source: str, destination: str, endpoint_url: str) -> None:
        self._work = ShortWay(source, destination, endpoint_url)

    def __call__(self, batch: Batch) -> Batch:
        for key, content, ab in zip(batch["key"], batch["content"], batch["ab"], strict=True):
            self._work.store(str(key), coloured(lab_of(content), ab))
        return {"key": batch["key"]}


class RayBench:
    """Runs Ray's own processes, in `folder`, and one pipeline at a time."""

    def start(self, folder: str, cores: int) -> float:
        """Start Ray on this machine alone, with actors that count as one core each. Returns the seconds
        that it took.
        """
        began = time.perf_counter()
        self._folder, self._cores = folder, cores
        for attempt in range(_ATTEMPTS):
            try:
                self._start()
                break
            except Exception:  # on a busy machine Ray gives up after 30 seconds, with no more precise error
                ray.shutdown()
                if attempt == _ATTEMPTS - 1:
                    raise
        ray.data.DataContext.get_current().enable_progress_bars = False
        return time.perf_counter() - began

    def _start(self) -> None:
        ray.init(
            num_cpus=self._cores * 4, include_dashboard=False, log_to_driver=False,
            object_store_memory=_OBJECT_STORE_BYTES, _node_ip_address="127.0.0.1", _temp_dir=self._folder,
        )  # fmt: skip

    def colourize(self, places: dict[str, str], model: dict[str, Any], batch_size: int, keys: list[str]) -> int:
        """Colourize all keys, from the source to the destination that `places` names."""
        batches = -(-len(keys) // batch_size)
        scans = ray.data.from_items([{"key": key} for key in keys], override_num_blocks=batches)
        host = {"fn_constructor_kwargs": places, "concurrency": self._cores, "num_cpus": 1}
        device = {"model": model, "batch_size": batch_size, "folder": self._folder}
        fetched = scans.map_batches(Fetch, batch_size=batch_size, **host)
        predicted = fetched.map_batches(
            Predict, batch_size=batch_size, fn_constructor_kwargs=device, concurrency=1, num_cpus=1
        )
        stored = predicted.map_batches(Store, batch_size=batch_size, **host)
        return sum(1 for _ in stored.iter_rows())


def main() -> None:
    end_with_parent()
    bench = RayBench()
    answer({"start": bench.start, "colourize": bench.colourize})


if __name__ == "__main__":
    main()
