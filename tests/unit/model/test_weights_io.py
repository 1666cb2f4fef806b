from pathlib import Path

import numpy as np
import pytest

from worker.errors import CheckpointError
from worker.model import weights


def test_a_quantized_kernel_is_within_half_a_step_of_itself() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 16)).astype("f") * np.arange(16, dtype="f")
    small, scale = weights.quantize(kernel)
    assert small.dtype == np.int8
    assert (np.abs(small * scale - kernel) <= scale / 2 + 1e-6).all()


def test_an_embedding_in_shards_comes_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHARD_BYTES", 250)
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(10, 10)).astype("f"), np.full(10, n, np.float32)) for n in range(12)]
    names = weights.write_embedding(tmp_path, "inception_resnet_v2", layers)
    found = weights.read_embedding([tmp_path / name for name in names])
    assert len(names) == 6
    assert [bias[0] for _, bias in found] == list(range(12))
    np.testing.assert_allclose(found[3][0], layers[3][0], atol=0.02)


def test_a_transposed_kernel_is_read_correctly(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(5, 7, 1, 3)).astype("f").transpose(2, 3, 1, 0)
    bias = np.zeros(5, np.float32)
    names = weights.write_embedding(tmp_path, "inception_resnet_v2", [(kernel, bias)])
    found, _ = weights.read_embedding([tmp_path / name for name in names])[0]
    np.testing.assert_allclose(found, kernel, atol=np.abs(kernel).max() / 127)
    weights.write_fusion(tmp_path, {"encoder_1.kernel": kernel})
    np.testing.assert_allclose(weights.read_fusion(tmp_path)["encoder_1.kernel"], kernel, atol=0.01)


def test_fusion_weights_come_back_as_float32(tmp_path: Path) -> None:
    weights.write_fusion(tmp_path, {"encoder_1.kernel": np.full((2, 2), 0.5, np.float32)})
    found = weights.read_fusion(tmp_path)["encoder_1.kernel"]
    assert found.dtype == np.float32
    assert (found == 0.5).all()


def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path) -> None:
    (tmp_path / "fusion.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"fusion\.safetensors is not a readable safetensors file"):
        weights.read_fusion(tmp_path)


def test_other_users_may_read_the_weights(tmp_path: Path) -> None:
    weights.write_fusion(tmp_path, {"x": np.zeros(1, np.float32)})
    assert (tmp_path / "fusion.safetensors").stat().st_mode & 0o044 == 0o044
