import collections
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.training.errors import TrainingError
from worker.training.views.lite2_importer import fold_state, read_lite2, read_state_dict


class Storage:
    """Pickled as PyTorch does it: by a persistent id."""

    def __init__(self, key: str) -> None:
        self.key = key


class Tensor:
    def __init__(self, key: str, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.key, self.size, self.stride = key, size, stride

    def __reduce__(self) -> Any:
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(self.key), 0, self.size, self.stride, False, collections.OrderedDict())


class Writer(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Storage):
            return ("storage", sys.modules["torch"].FloatStorage, obj.key, "cpu", 6, None)
        return None


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that a PyTorch file refers to; nothing of PyTorch."""
    storage = type("FloatStorage", (), {"__module__": "torch"})
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(FloatStorage=storage))

    def rebuild(*_: Any) -> None: ...

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", *["_rebuild_tensor_v2"] * 2
    monkeypatch.setitem(sys.modules, "torch._utils", SimpleNamespace(_rebuild_tensor_v2=rebuild))


def write_state(path: Path, state: dict[str, Any], storages: dict[str, NDArray[np.float32]]) -> None:
    with path.open("wb") as file:
        for number in (0x1950A86A20F9469CFC6C, 1001, 0):
            pickle.dump(number, file, 2)
        Writer(file, 2).dump(state)
        pickle.dump(list(storages), file, 2)
        for values in storages.values():
            file.write(struct.pack("<q", values.size) + values.tobytes())


@pytest.mark.usefixtures("torch")
def test_a_state_dict_is_read_without_pytorch(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    state = collections.OrderedDict(plain=Tensor("1", (2, 3), (3, 1)), turned=Tensor("1", (3, 2), (1, 3)))
    write_state(tmp_path / "state.pth", state, {"1": values})
    with (tmp_path / "state.pth").open("rb") as file:
        arrays = read_state_dict(file)
    np.testing.assert_array_equal(arrays["plain"], values.reshape(2, 3))
    np.testing.assert_array_equal(arrays["turned"], values.reshape(2, 3).T)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("run",)

    path = tmp_path / "evil.pth"
    with path.open("wb") as file:
        parts: list[Any] = [1, 2, 3, Evil(), []]
        for part in parts:
            pickle.dump(part, file, 2)
    with pytest.raises(TrainingError, match="holds no EfficientNet-Lite2 .*print is no part of a tensor"):
        read_lite2(path)


def test_a_norm_is_folded_into_its_convolution() -> None:
    state: dict[str, Any] = collections.defaultdict(lambda: np.ones((1, 1, 1, 1), np.float32))
    norm = {"weight": 2.0, "bias": 1.0, "running_mean": 3.0, "running_var": 4.0 - 1e-3}
    state |= {f"_bn0.{part}": np.array([value], np.float32) for part, value in norm.items()}
    state["_conv_stem.weight"] = np.full((1, 3, 3, 3), 5, np.float32)  # (out, in, height, width)
    kernel, bias = fold_state(_with_norms(state))[0]
    assert kernel.shape == (3, 3, 3, 1)
    np.testing.assert_allclose(kernel, 5 * 2 / 2)
    np.testing.assert_allclose(bias, 1 - 3 * 2 / 2)


def _with_norms(state: dict[str, Any]) -> dict[str, Any]:
    """Every other norm that is asked for does nothing."""

    class State(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return np.ones((1, 1, 1, 1) if name.endswith("conv.weight") or "_conv_" in name else 1, np.float32)

    return State(state)
