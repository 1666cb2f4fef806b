"""The number format of the network: float32, or bfloat16 or int8 if the device is faster with it.

bfloat16 has float32's range and 8 significant bits. Weights and sums stay float32, and so do the embedding and the last
layer; the network was trained so (docs/training.md). With int8, the encoder and the embedding compute in 8 bits
(`int8_network`), and everything else in float32.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from worker.model.backends.choice import has_int8, int8
from worker.system.machine import available_memory_bytes, whole_cores

Precision = Literal["float32", "bfloat16", "int8"]

# By Keras' names: what is not computed in 8 bits.
POLICIES: dict[Precision, str] = {"float32": "float32", "bfloat16": "mixed_bfloat16", "int8": "float32"}
_FASTER = 1.2  # a format of fewer bits is used if it is at least this much faster
_INT8_BYTES = 4 * 2**30  # of the machine: a conversion takes half a gigabyte more than a model server
_SCANS, _SIDE, _CHANNELS = 8, 50, 256  # of a convolution like the network's own
_TIMES = 3

logger = logging.getLogger(__name__)


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Layers that are made in the block compute with this precision. `policy` is Keras' name for it."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def choices() -> tuple[Precision, ...]:
    """The precisions among which this machine chooses."""
    with_int8 = has_int8() and available_memory_bytes() >= _INT8_BYTES
    return ("float32", "bfloat16", "int8") if with_int8 else ("float32", "bfloat16")


@cache
def fastest(on_gpu: bool) -> Precision:
    """The better precision for this machine, measured with convolutions that take a second on two cores."""
    # On a CPU, processor time is measured, so that other programs don't affect the choice. A GPU's work takes none, so
    # there many calls in a row are timed, and the time of a single call does not matter.
    clock, in_a_row = (time.perf_counter, 100) if on_gpu else (time.process_time, 1)
    seconds: dict[Precision, float] = {
        "float32": _seconds("float32", clock, in_a_row),
        "bfloat16": seconds_or_never("bfloat16", lambda: _seconds("bfloat16", clock, in_a_row)),
    }
    if "int8" in choices():
        seconds["int8"] = seconds_or_never("int8", lambda: _int8_seconds(clock))
    return choose(seconds)


def choose(seconds: dict[Precision, float]) -> Precision:
    """The precision to use, from the seconds that the same work takes in each, float32 first.

    Each further one must be clearly faster than the best before it.
    """
    chosen: Precision = "float32"
    best = seconds["float32"]
    for precision, duration in seconds.items():
        logger.info(
            "a convolution in %s is %.2f times as fast as in float32",
            precision, seconds["float32"] / max(duration, 1e-9),
        )  # fmt: skip
        if best >= _FASTER * duration:
            chosen = precision
        best = min(best, duration)
    return chosen


def seconds_or_never(precision: Precision, measure: Callable[[], float]) -> float:
    """The result of `measure`, in seconds, or infinity if it fails.

    For some processors oneDNN has no convolutions in bfloat16, and TensorFlow fails only when one runs. Each backend
    then raises its own kind of exception.
    """
    try:
        return measure()
    except Exception as error:
        logger.info("this device has no convolutions in %s: %s", precision, type(error).__name__)
        return math.inf


def _seconds(precision: Precision, clock: Callable[[], float], in_a_row: int) -> float:
    """The seconds of the fastest of some rows of convolutions, after one to warm up."""
    places = ops.full((_SCANS, _SIDE, _SIDE, _CHANNELS), 0.5, dtype=precision)
    kernel = _kernel(precision)

    def convolve() -> None:
        result = places
        for _ in range(in_a_row):
            result = ops.conv(result, kernel, padding="same")
        ops.convert_to_numpy(result[0, 0, 0])  # waits for the device

    return _fastest_seconds(convolve, clock)


def _int8_seconds(clock: Callable[[], float]) -> float:
    """As `_seconds`, for the same convolution in 8 bits."""
    places = np.full((_SCANS, _SIDE, _SIDE, _CHANNELS), 0.5, np.float32)
    kernel = _kernel("float32")
    content = int8().converted(lambda images: ops.conv(images, kernel, padding="same"), places, _SCANS)
    interpreter = int8().Interpreter(content, whole_cores())
    return _fastest_seconds(lambda: interpreter(places), clock)


def _kernel(dtype: str) -> Any:
    return ops.full((3, 3, _CHANNELS, _CHANNELS), 1 / (9 * _CHANNELS), dtype=dtype)


def _fastest_seconds(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    work()  # to warm up
    durations = []
    for _ in range(_TIMES):
        began = clock()
        work()
        durations.append(clock() - began)
    return min(durations)
