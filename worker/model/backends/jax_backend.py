"""JAX: a step is a program that XLA compiles. The extra `jax` has it for a CPU; on a GPU: pip install jax[cuda12]."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from worker.model.backends.choice import Spec

Array = np.ndarray[Any, Any]


class _Program:
    def __init__(self, function: Callable[..., Sequence[Any]], specs: Sequence[Spec]) -> None:
        arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in specs]
        traced = jax.make_jaxpr(lambda *values: tuple(function(*values)))(*arguments)
        # The weights are arguments. As constants, each program would contain a copy of them.
        self._weights = jax.device_put(traced.consts)
        program = jax.jit(lambda weights, *values: jax.core.eval_jaxpr(traced.jaxpr, weights, *values))
        self._program = program.lower(self._weights, *arguments).compile()

    def __call__(self, *arrays: Array) -> list[Array]:
        return [np.asarray(result) for result in self._program(self._weights, *arrays)]

    def operations(self) -> int:
        analysis = self._program.cost_analysis()
        analysis = analysis[0] if isinstance(analysis, list) else analysis
        return int(analysis["flops"])

    def compilations(self) -> int:
        return 1


def compile(function: Callable[..., Sequence[Any]], specs: Sequence[Spec]) -> _Program:
    return _Program(function, specs)


def device() -> str:
    return "GPU" if jax.default_backend() in ("gpu", "cuda", "rocm") else "CPU"


def device_name() -> str:
    first = jax.devices()[0]
    return "CPU" if device() == "CPU" else f"GPU {first.device_kind}"
