import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worker.errors import CheckpointError
from worker.model import checkpoint
from worker.model.backends.precision import POLICIES, choose, fastest, seconds_or_never
from worker.model.classifiers.embedding import EMBEDDING_PX, load_embedding
from worker.model.classifiers.features import load_features
from worker.model.colorizer import Colorizer, varied
from worker.model.weights import read_fusion


@pytest.fixture(scope="module")
def colorizer(checkpoint_folder: Path) -> Colorizer:
    return Colorizer.load(checkpoint_folder, batch_size=2)


def lightness(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).uniform(0, 100, (count, 400, 400)).astype(np.float32)


def test_a_scans_colours_do_not_depend_on_its_batch(colorizer: Colorizer) -> None:
    scans = lightness(3)
    together, certainty = colorizer.predict(scans)
    alone, _ = colorizer.predict(scans[2:])
    assert together.shape == (3, 400, 400, 2)
    assert together.dtype == np.float32
    assert ((certainty >= 0) & (certainty <= 1)).all()
    assert certainty.shape == (3,)
    np.testing.assert_allclose(together[2], alone[0], atol=0.01)


def test_no_scans_give_no_colours(colorizer: Colorizer) -> None:
    ab, certainty = colorizer.predict(lightness(0))
    assert ab.shape == (0, 400, 400, 2)
    assert certainty.shape == (0,)


def test_batches_of_every_size_use_the_one_graph(colorizer: Colorizer) -> None:
    for count in (1, 2, 3):
        colorizer.predict(lightness(count))
    assert [step.compilations() for step in colorizer._predict.values()] == [1]


def test_decoding_a_scans_own_embedding_is_predicting(colorizer: Colorizer) -> None:
    scans = lightness(1)
    expected, _ = colorizer.predict(scans)
    decoded = colorizer.decode(colorizer.encode(scans), colorizer.embed(scans))
    np.testing.assert_allclose(decoded.ab["paper"], expected, atol=0.01)


def test_both_heads_come_from_one_pass(colorizer: Colorizer, checkpoint_folder: Path) -> None:
    scans = lightness(2)
    together = colorizer.predict_heads(scans)
    assert list(together.ab) == ["paper", "vivid"]
    vivid, certainty = Colorizer.load(checkpoint_folder, batch_size=2, head="vivid").predict(scans)
    np.testing.assert_allclose(together.ab["vivid"], vivid, atol=0.01)
    np.testing.assert_allclose(together.certainty, certainty, atol=1e-4)


def test_another_shape_is_refused(colorizer: Colorizer) -> None:
    with pytest.raises(ValueError, match=r"\(1, 200, 200\) was given; expected \(n, 400, 400\)"):
        colorizer.predict(np.zeros((1, 200, 200), np.float32))


def test_a_checkpoint_with_a_map_sees_its_own_side(map_checkpoint_folder: Path) -> None:
    colorizer = Colorizer.load(map_checkpoint_folder, batch_size=1)
    scans = lightness(1)
    ab, certainty = colorizer.predict(scans)
    assert (ab.shape, certainty.shape) == ((1, 400, 400, 2), (1,))
    assert [array.shape for array in colorizer.encode(scans)] == [
        (1, 8, 8, 256), (1, 28, 28, 48), (1, 14, 14, 120), (1, 7, 7, 352),
    ]  # fmt: skip


@pytest.mark.parametrize("side", [96, 299])
def test_scans_may_come_at_another_side_than_the_embeddings_own(map_checkpoint_folder: Path, side: int) -> None:
    """A server's slots have the side of its first model, but a model that is loaded later may have another side."""
    first = Colorizer.load(map_checkpoint_folder, batch_size=1)
    later = Colorizer.load(map_checkpoint_folder, batch_size=1, lightness_px=side)
    assert first.lightness_px == 224
    colours = later.predict_packed(np.full((1, side, side), 1 << 15, np.uint16))
    expected = first.predict_packed(np.full((1, 224, 224), 1 << 15, np.uint16))
    np.testing.assert_allclose(colours.ab["paper"], expected.ab["paper"], atol=2)


def test_every_embedding_sees_a_scan_at_the_same_side(map_checkpoint_folder: Path) -> None:
    """One id stands for one result, whether a worker begins with the embedding or a job asks for it later."""
    card = checkpoint.verify(map_checkpoint_folder)
    large = replace(load_embedding(None, map_checkpoint_folder, card), name="imagenet", side_px=EMBEDDING_PX)
    fusion, features = read_fusion(map_checkpoint_folder), load_features(map_checkpoint_folder, card)
    begun_with_it = Colorizer(card, fusion, large, 1, features=features)
    default = Colorizer.load(map_checkpoint_folder, batch_size=1)
    assert begun_with_it.lightness_px == default.lightness_px


def test_the_worker_learns_the_checkpoints_name(colorizer: Colorizer, checkpoint_folder: Path) -> None:
    assert colorizer.checkpoint_id == checkpoint.read_card(checkpoint_folder).id
    assert (colorizer.head, colorizer.embedding, colorizer.batch_size) == ("paper", "inception_resnet_v2", 2)


def test_the_other_head_and_embedding_can_be_asked_for(checkpoint_folder: Path, colorizer: Colorizer) -> None:
    other = Colorizer.load(checkpoint_folder, 1, "compact", "vivid")
    ab, certainty = other.predict(lightness(1))
    assert ab.shape == (1, 400, 400, 2)
    assert 0 <= certainty[0] <= 1
    assert other.checkpoint_id == f"{colorizer.checkpoint_id}-vivid-compact"


@pytest.mark.parametrize("head", ["paper", "vivid"])
def test_in_bfloat16_the_colours_are_the_same_to_the_eye(checkpoint_folder: Path, head: str) -> None:
    scans = lightness(1)
    exact, _ = Colorizer.load(checkpoint_folder, 1, head=head).predict(scans)
    faster = Colorizer.load(checkpoint_folder, 1, head=head, precision="bfloat16")

    assert faster.precision == "bfloat16"
    assert faster.encode(scans)[0].dtype == np.float32
    np.testing.assert_allclose(faster.predict(scans)[0], exact, atol=1.0)  # CIE units; 2.3 are just noticeable


def test_variation_leaves_a_scans_mean_colour() -> None:
    ab = np.random.default_rng(0).normal(5, 10, (2, 4, 4, 2)).astype(np.float32)
    more = np.asarray(varied(ab, 1.5))
    np.testing.assert_allclose(more.mean((1, 2)), ab.mean((1, 2)), atol=1e-4)
    np.testing.assert_allclose(more.std((1, 2)), 1.5 * ab.std((1, 2)), rtol=1e-4)


def test_bfloat16_is_chosen_where_it_is_clearly_faster() -> None:
    assert choose({"float32": 2.0, "bfloat16": 1.0}) == "bfloat16"
    assert choose({"float32": 1.1, "bfloat16": 1.0}) == "float32"
    assert choose({"float32": 1.0, "bfloat16": 3.0}) == "float32"


def test_int8_is_chosen_where_it_is_clearly_faster_than_the_best_of_the_others() -> None:
    assert choose({"float32": 2.0, "bfloat16": 1.0, "int8": 0.6}) == "int8"
    assert choose({"float32": 2.0, "bfloat16": 1.0, "int8": 0.9}) == "bfloat16"
    assert choose({"float32": 2.0, "bfloat16": math.inf, "int8": 1.5}) == "int8"
    assert choose({"float32": 1.0, "bfloat16": 0.9, "int8": 0.8}) == "float32"


def test_the_bench_describes_this_machine() -> None:
    assert fastest(on_gpu=False) in POLICIES


def test_a_damaged_checkpoint_is_not_loaded(checkpoint_folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(checkpoint_folder, damaged)
    with (damaged / "fusion.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    with pytest.raises(CheckpointError, match="SHA-256"):
        Colorizer.load(damaged)


def test_a_device_without_convolutions_in_bfloat16_computes_in_float32() -> None:
    def fail() -> float:
        raise RuntimeError("could not create a primitive descriptor")

    assert choose({"float32": 1.0, "bfloat16": seconds_or_never("bfloat16", fail)}) == "float32"
