"""Stores weights as safetensors files in float16.

Embeddings, which are the largest, are in int8 with a scale for each channel, in several files.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from worker.errors import CheckpointError

Floats = NDArray[np.float32]
Layers = list[tuple[Floats, Floats]]  # kernel and bias of each layer, in order

FUSION_FILE = "fusion.safetensors"
FEATURES_FILE = "features.safetensors"
EMBEDDING_FILE = "embedding-{name}-{number}.safetensors"
SHARD_BYTES = 40_000_000  # well below 45 MB, which hosts of repositories accept


def quantize(kernel: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Kernel (..., channels) -> int8 of the same shape and the scale of each channel (channels,).

    kernel = int8 * scale, with an error of at most half a scale. The scale is the channel's largest weight / 127.
    """
    largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.round(kernel / scale).astype(np.int8), scale


def write_fusion(folder: Path, weights: Mapping[str, Floats]) -> list[str]:
    """Writes the fusion network's weights as float16; returns the file's name."""
    halves = {name: np.asarray(value, np.float16) for name, value in weights.items()}
    _write(folder / FUSION_FILE, halves)
    return [FUSION_FILE]


def read_fusion(folder: Path) -> dict[str, Floats]:
    """The fusion network's weights by layer ("encoder_1.kernel"), as float32."""
    return {name: value.astype(np.float32) for name, value in _read(folder / FUSION_FILE).items()}


def write_embedding(folder: Path, name: str, layers: Sequence[tuple[Floats, Floats]]) -> list[str]:
    """Writes an embedding's layers, in int8 by channel, into as many files as necessary. Returns the files' names."""
    names = []
    for number, shard in enumerate(_shards(layers), start=1):
        names.append(EMBEDDING_FILE.format(name=name, number=number))
        _write(folder / names[-1], shard)
    return names


def read_embedding(paths: Iterable[Path]) -> Layers:
    """Kernel and bias of each layer, in order, as float32."""
    arrays: dict[str, NDArray[Any]] = {}
    for path in sorted(paths):
        arrays.update(_read(path))
    numbers = sorted({name.split(".")[0] for name in arrays})
    return [
        (arrays[f"{n}.kernel"].astype(np.float32) * arrays[f"{n}.scale"], arrays[f"{n}.bias"].astype(np.float32))
        for n in numbers
    ]


def write_features(folder: Path, layers: Sequence[tuple[Floats, Floats]]) -> list[str]:
    """Writes the feature network's layers as float16; returns the file's name."""
    pairs = {f"{number:03}": pair for number, pair in enumerate(layers)}
    arrays = {f"{number}.kernel": kernel for number, (kernel, _) in pairs.items()}
    arrays |= {f"{number}.bias": bias for number, (_, bias) in pairs.items()}
    _write(folder / FEATURES_FILE, {name: np.asarray(value, np.float16) for name, value in arrays.items()})
    return [FEATURES_FILE]


def read_features(folder: Path, names: Iterable[str]) -> Layers:
    """Kernel and bias of each layer of the feature network, in order, as float32."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        arrays.update(_read(folder / name))
    numbers = sorted({name.split(".")[0] for name in arrays})
    return [(arrays[f"{n}.kernel"].astype(np.float32), arrays[f"{n}.bias"].astype(np.float32)) for n in numbers]


def _shards(layers: Sequence[tuple[Floats, Floats]]) -> list[dict[str, NDArray[np.generic]]]:
    shards: list[dict[str, NDArray[np.generic]]] = [{}]
    filled = 0
    for number, (kernel, bias) in enumerate(layers):
        if filled + kernel.size > SHARD_BYTES:
            shards.append({})
            filled = 0
        small, scale = quantize(kernel)
        shards[-1] |= {f"{number:03}.kernel": small, f"{number:03}.scale": scale, f"{number:03}.bias": bias}
        filled += kernel.size
    return shards


def _write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    # safetensors writes an array's memory unchanged, so a transposed array would be read back in another order.
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, path)
    path.chmod(0o644)  # safetensors lets only the owner read; workers of other users must read a checkpoint too


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}); restore the checkpoint") from None
