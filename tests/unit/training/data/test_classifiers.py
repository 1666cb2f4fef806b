from pathlib import Path

import numpy as np
import pytest

from worker.training.data.class_logits import load_logits, probabilities, varied
from worker.training.errors import TrainingError


@pytest.fixture
def logits_file(tmp_path: Path) -> Path:
    logits = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float16)
    np.savez(tmp_path / "teacher.npz", names=np.array(["a", "b", "c"]), logits=logits)
    return tmp_path / "teacher.npz"


def test_logits_come_in_the_order_of_the_photos(logits_file: Path) -> None:
    both, swapped = load_logits(logits_file, ["a", "c"]), load_logits(logits_file, ["c", "a"])
    np.testing.assert_array_equal(both, swapped[::-1])


def test_a_photo_without_logits_is_named(logits_file: Path) -> None:
    with pytest.raises(TrainingError, match="has no logits for 'd'"):
        load_logits(logits_file, ["a", "d"])


def test_a_file_that_is_no_npz_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none\.npz can't be read"):
        load_logits(tmp_path / "none.npz", ["a"])


def test_a_lower_temperature_makes_the_first_guess_surer() -> None:
    logits = np.array([3.0, 1.0, 0.0])
    assert probabilities(logits, 0.5)[0] > probabilities(logits, 1.0)[0] > probabilities(logits, 2.0)[0]
    np.testing.assert_allclose(probabilities(logits).sum(), 1, rtol=1e-5)


def test_a_varied_embedding_has_length_one_or_is_zero() -> None:
    sources = [np.random.default_rng(seed).normal(size=(1, 1000)).astype(np.float16) for seed in range(2)]
    lengths = [float((varied(sources, 0, np.random.default_rng(seed)) ** 2).sum()) for seed in range(200)]
    zeros = sum(length == 0 for length in lengths)
    assert 1 <= zeros <= 25
    np.testing.assert_allclose([length for length in lengths if length], 1, rtol=1e-3)
