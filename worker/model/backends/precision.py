"""The number format of the network: float32, or bfloat16 if the device is faster with it.

bfloat16 has float32's range and 8 significant bits. Weights and sums stay float32, and so do the embedding and the last
layer; the network was trained so (docs/training.md).
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import keras
from keras import ops

Precision = Literal["float32", "bfloat16"]

POLICIES: dict[Precision, str] = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # by Keras' names
_FASTER = 1.2  # bfloat16 is used if it is at least this much faster
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


@cache
def fastest(on_gpu: bool) -> Precision:
    """The better precision for this machine, measured with convolutions that take a second on two cores."""
    # On a CPU, processor time is measured, so that other programs don't affect the choice. A GPU's work takes none, so
    # there many calls in a row are timed, and the time of a single call does not matter.
    clock, in_a_row = (time.perf_counter, 100) if on_gpu else (time.process_time, 1)
    return choose(
        {
            "float32": _seconds("float32", clock, in_a_row),
            "bfloat16": seconds_or_never(lambda: _seconds("bfloat16", clock, in_a_row)),
        }
    )


def choose(seconds: dict[Precision, float]) -> Precision:
    """The precision to use, from the seconds that the same work takes in each."""
    gain = seconds["float32"] / max(seconds["bfloat16"], 1e-9)
    logger.info("a convolution in bfloat16 is %.2f times as fast as in float32", gain)
    return "bfloat16" if gain >= _FASTER else "float32"


def seconds_or_never(measure: Callable[[], float]) -> float:
    """The result of `measure`, in seconds, or infinity if it fails.

    For some processors oneDNN has no convolutions in bfloat16, and TensorFlow fails only when one runs. Each backend
    then raises its own kind of exception.
    """
    try:
        return measure()
    except Exception as error:
        logger.info("this device has no convolutions in bfloat16: %s", type(error).__name__)
        return math.inf


def _seconds(precision: Precision, clock: Callable[[], float], in_a_row: int) -> float:
    """The seconds of the fastest of some rows of convolutions, after one to warm up."""
    places = ops.full((_SCANS, _SIDE, _SIDE, _CHANNELS), 0.5, dtype=precision)
    kernel = ops.full((3, 3, _CHANNELS, _CHANNELS), 1 / (9 * _CHANNELS), dtype=precision)
    durations = []
    for _ in range(1 + _TIMES):
        began = clock()
        result = places
        for _ in range(in_a_row):
            result = ops.conv(result, kernel, padding="same")
        ops.convert_to_numpy(result[0, 0, 0])  # waits for the device
        durations.append(clock() - began)
    return min(durations[1:])
