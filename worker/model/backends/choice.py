"""The parts that differ between TensorFlow and JAX: how a step is compiled, and where it runs.

KERAS_BACKEND chooses.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import keras
import numpy as np

from worker.errors import CheckpointError

Spec = tuple[tuple[int, ...], str]  # an array's shape and its type
BACKENDS = ("tensorflow", "jax")


class Step(Protocol):
    """A function of tensors, compiled for arrays of fixed shapes."""

    def __call__(self, *arrays: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]: ...

    def operations(self) -> int:
        """Floating-point operations of one call, as the backend counts them."""
        ...

    def compilations(self) -> int:
        """How often it was compiled: once, if nothing is wrong."""
        ...


class Backend(Protocol):
    def compile(self, function: Callable[..., Sequence[Any]], specs: Sequence[Spec]) -> Step:
        """Compile `function` for arrays of these shapes and types. It is not run yet."""
        ...

    def device(self) -> str:
        """Where the network runs: CPU or GPU."""
        ...

    def device_name(self) -> str:
        """ "CPU", or the name of the GPU, because the same machine may get another GPU."""
        ...


class Interpreter(Protocol):
    """A function in 8 bits that is ready to run: float32 in, float32 out."""

    output_shape: tuple[int, ...]

    def __call__(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...


class Int8(Protocol):
    """Convolutions in 8 bits: see `worker.model.backends.int8`."""

    def converted(self, function: Callable[[Any], Any], samples: np.ndarray[Any, Any], batch_size: int) -> bytes: ...

    def Interpreter(self, content: bytes, threads: int) -> Interpreter: ...  # noqa: N802


def has_int8() -> bool:
    """Whether this backend computes in 8 bits on this device: TensorFlow on a CPU."""
    return keras.backend.backend() == "tensorflow" and backend().device() == "CPU"


def int8() -> Int8:
    """Raises CheckpointError where the backend has no convolutions in 8 bits."""
    if not has_int8():
        raise CheckpointError(
            f"int8 is for TensorFlow on a CPU, and this is {keras.backend.backend()} on a {backend().device()}; "
            "choose the precision float32 or bfloat16"
        )
    return cast("Int8", import_module("worker.model.backends.int8"))


def backend() -> Backend:
    """The backend that Keras uses. Raises CheckpointError for one that is not supported."""
    name = keras.backend.backend()
    if name not in BACKENDS:
        raise CheckpointError(f"KERAS_BACKEND is {name!r}; expected one of {', '.join(BACKENDS)}")
    return cast("Backend", import_module(f"worker.model.backends.{name}_backend"))
