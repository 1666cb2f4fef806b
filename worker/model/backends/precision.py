"""The numbers that the network computes in: float32, or bfloat16 where the device is faster at that.

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
_FASTER = 1.2  # from which on fewer bits are worth it
_SCANS, _SIDE, _CHANNELS = 8, 50, 256  # of a convolution like the network's own
_TIMES = 3

logger = logging.getLogger(__name__)


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Layers made inside compute at this precision; those made afterwards as before. Keras' name for it."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


@cache
def fastest(on_gpu: bool) -> Precision:
    """What suits this machine, measured once by convolutions that take a second on two cores."""
    # Processor time, so that what else runs on the cores does not choose; a GPU's work takes none. It is asked for many
    # in a row, beside which the asking does not count.
    clock, in_a_row = (time.perf_counter, 100) if on_gpu else (time.process_time, 1)
    return choose(
        {
            "float32": _seconds("float32", clock, in_a_row),
            "bfloat16": seconds_or_never(lambda: _seconds("bfloat16", clock, in_a_row)),
        }
    )


def choose(seconds: dict[Precision, float]) -> Precision:
    """By what the same work takes in each."""
    gain = seconds["float32"] / max(seconds["bfloat16"], 1e-9)
    logger.info("a convolution in bfloat16 is %.2f times as fast as in float32", gain)
    return "bfloat16" if gain >= _FASTER else "float32"


def seconds_or_never(measure: Callable[[], float]) -> float:
    """What `measure` returns, or infinity where it fails.

    oneDNN has no convolutions in bfloat16 for some processors, and TensorFlow says so only when one is run. Each
    backend raises an exception of its own then.
    """
    try:
        return measure()
    except Exception as error:
        logger.info("this device has no convolutions in bfloat16: %s", type(error).__name__)
        return math.inf


def _seconds(precision: Precision, clock: Callable[[], float], in_a_row: int) -> float:
    """Of the fastest of a few rows of convolutions, after one that prepares them."""
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
