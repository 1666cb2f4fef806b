"""Compiles a function of tensors by Keras' backend. Keras itself compiles only whole models."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, traced once for each shape of its arguments."""
    if keras.backend.backend() == "jax":
        jitted: Callable[..., Any] = import_module("jax").jit(function)
        return jitted
    traced: Callable[..., Any] = import_module("tensorflow").function(function)
    return traced
