"""Convolutions in 8 bits on a CPU, by TensorFlow Lite, which comes with TensorFlow.

A function of images is converted once: its weights become 8 bits for each channel, and the range of each intermediate
result is measured with samples. It takes and gives float32. Processors with VNNI multiply 8 bits several times as fast
as 32 bits.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from worker.system.held_output import held_standard_error

Array = np.ndarray[Any, Any]

# How the lines of TensorFlow Lite and of its converter begin.
_LINES = ("INFO: ", "W0000 ", "I0000 ", "WARNING: All log messages", "fully_quantize:")


class Interpreter:
    """A converted function, ready to run. Each call takes and gives one array of the batch size it was made for."""

    def __init__(self, content: bytes, threads: int) -> None:
        """Raises ValueError for content that is no converted function."""
        with _quiet():
            self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        output = self._interpreter.get_output_details()[0]
        self._output, self.output_shape = output["index"], tuple(int(length) for length in output["shape"])

    def __call__(self, values: Array) -> Array:
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


def converted(function: Callable[[Any], Any], samples: Array, batch_size: int) -> bytes:
    """`function` of one tensor in 8 bits, for batches of `batch_size`, as a file for `Interpreter`.

    `samples` (n, ...), float32, n a multiple of `batch_size`: inputs that are like those to come.
    """
    batches = samples.reshape(-1, batch_size, *samples.shape[1:])

    def representative_dataset() -> Iterator[Sequence[Array]]:
        for batch in batches:
            yield [batch]

    traced = tf.function(function, input_signature=[tf.TensorSpec(batches.shape[1:], tf.float32)])
    with _quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
        return bytes(converter.convert())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that TensorFlow Lite writes in any case, and its advice about its future packages."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with held_standard_error(_LINES), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        absl.setLevel(level)
