"""Measure how many scans a second the model alone predicts on any Keras backend and device, even without TensorFlow.

    KERAS_BACKEND=jax python -m tests.bench.backends --batch 1 8 32 128 --precision float32 bfloat16 float16

Workers run the network under TensorFlow, and `photochrom bench model` measures it there. The network is written in
Keras, so a device can also be measured where TensorFlow is not available. There are two figures for each setting: one
with the scans' lightness already on the device and the colours left there, and one with both copied, as a worker does.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from worker.model import checkpoint, weights
from worker.model.backends.precision import computing_in
from worker.model.classifiers.embedding import load_embedding
from worker.model.network import AB_SCALE, build_network
from worker.model.norm_folding import assign, for_head

SIDE_PX = 400
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
MATRIX_SIDE = 8192


@dataclass(frozen=True)
class Figure:
    """The scans a second of one way of running the network."""

    embedding: str
    precision: str
    batch: int
    on_device: float
    with_copies: float
    prepared_seconds: float  # tracing and compiling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[8])
    parser.add_argument("--precision", nargs="+", choices=POLICIES, default=["float32", "bfloat16"])
    parser.add_argument("--embedding", nargs="+", default=["compact"])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--matrix", type=int, default=MATRIX_SIDE, help="side of the matrices beside it; 0: none")
    parser.add_argument("--json", help="a file for the figures")
    given = parser.parse_args()
    products = [_product(each, given.matrix, given.seconds) for each in given.precision] if given.matrix else []
    figures = []
    for embedding in given.embedding:
        for precision in given.precision:
            predict = _network(embedding, precision)
            for batch in given.batch:
                figures.append(_measured(predict, embedding, precision, batch, given.seconds))
                print(json.dumps(asdict(figures[-1])), flush=True)
    if given.json:
        found = {
            "backend": keras.backend.backend(),
            "products": products,
            "figures": [asdict(each) for each in figures],
        }
        Path(given.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _network(embedding_name: str, precision: str) -> Callable[[Any], Any]:
    """L* (batch, 400, 400), 0..100 -> a*, b* (batch, 400, 400, 2), compiled for each size of a batch."""
    folder = checkpoint.bundled_checkpoint_path("first")  # the paper's network, without a map
    card = checkpoint.read_card(folder)
    embedding = load_embedding(embedding_name, folder, card)
    # The embedding stays in float32, as workers compute it.
    layers = [(ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)) for kernel, bias in embedding.layers]
    embedding = replace(embedding, layers=layers)
    with computing_in(POLICIES[precision]):
        model = build_network("paper", SIDE_PX, batch_norm=False)
    assign(model, for_head(weights.read_fusion(folder), "paper"))

    def predict(lightness: Any) -> Any:
        scans = lightness[..., None]
        return model([scans / 50.0 - 1.0, embedding(scans)], training=False) * AB_SCALE

    return _compiled(predict)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if keras.backend.backend() == "jax":
        import jax  # type: ignore[import-not-found]  # none of the project's own needs

        return jax.jit(function)  # type: ignore[no-any-return]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)  # type: ignore[no-any-return]
    import torch  # type: ignore[import-not-found]

    return torch.no_grad()(function)  # type: ignore[no-any-return]


def _measured(predict: Callable[[Any], Any], embedding: str, precision: str, batch: int, seconds: float) -> Figure:
    scans = np.random.default_rng(1).uniform(0, 100, (batch, SIDE_PX, SIDE_PX)).astype(np.float32)
    began = time.perf_counter()
    there = ops.convert_to_tensor(scans)
    _wait(predict(there))
    prepared = time.perf_counter() - began
    on_device = _per_second(lambda: predict(there), batch, seconds)
    with_copies = _per_second(lambda: ops.convert_to_numpy(predict(ops.convert_to_tensor(scans))), batch, seconds)
    return Figure(embedding, precision, batch, on_device, with_copies, round(prepared, 1))


def _product(precision: str, side: int, seconds: float) -> dict[str, Any]:
    """TFLOP/s of a large matrix product, which shows what the device can do."""
    matrix = ops.cast(ops.convert_to_tensor(np.random.default_rng(1).normal(size=(side, side))), precision)
    product = _compiled(lambda one, other: ops.matmul(one, other))
    _wait(product(matrix, matrix))
    found = {
        "precision": precision,
        "tflops": 2e-12 * side**3 * _per_second(lambda: product(matrix, matrix), 1, seconds),
    }
    print(json.dumps(found), flush=True)
    return found


def _per_second(work: Callable[[], Any], of_each: int, seconds: float) -> float:
    """The rate of several calls in a row, so that the device always has work; `of_each` is the count of one call."""
    times, began = 0, time.perf_counter()
    while times == 0 or time.perf_counter() - began < seconds:
        for _ in range(4):
            result = work()
        _wait(result)
        times += 4
    return round(times * of_each / (time.perf_counter() - began), 2)


def _wait(result: Any) -> None:
    """Wait for the device, because Python continues while the device works."""
    ops.convert_to_numpy(ops.reshape(result, (-1,))[0])


if __name__ == "__main__":
    main()
