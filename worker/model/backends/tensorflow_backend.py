"""TensorFlow: a step is a traced graph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from worker.model.backends.choice import Spec

Array = np.ndarray[Any, Any]


class _Graph:
    def __init__(self, function: Callable[..., Sequence[Any]], specs: Sequence[Spec]) -> None:
        self._function = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype) for shape, dtype in specs])

    def __call__(self, *arrays: Array) -> list[Array]:
        return [result.numpy() for result in self._function(*(tf.constant(array) for array in arrays))]

    def operations(self) -> int:
        from tensorflow.compat.v1 import profiler  # half a second that only a bench needs

        options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output()
        graph = self._function.get_concrete_function().graph
        return int(profiler.profile(graph, options=options.build()).total_float_ops)

    def compilations(self) -> int:
        return int(self._function.experimental_get_tracing_count())


def compile(function: Callable[..., Sequence[Any]], specs: Sequence[Spec]) -> _Graph:
    return _Graph(function, specs)


def device() -> str:
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def device_name() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return f"GPU {tf.config.experimental.get_device_details(gpus[0]).get('device_name', 'of no name')}"
